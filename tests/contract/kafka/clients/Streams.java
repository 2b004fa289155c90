import java.time.Duration;
import java.util.*;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.Produced;

/** Kafka Streams: counts by key, in a state store with a compacted topic behind it, and writes them
  * to a topic; the third argument is the processing guarantee. */
public class Streams {
    public static void main(String[] arguments) throws Exception {
        Properties common = new Properties();
        common.put("bootstrap.servers", arguments[0]);
        String id = "streams-" + System.currentTimeMillis();
        try (Admin admin = Admin.create(common)) {
            admin.createTopics(List.of(new NewTopic(id, 2, (short) 1),
                new NewTopic(id + "-out", 2, (short) 1))).all().get();
        }
        Serializer<String> text = new StringSerializer();
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(common, text, text)) {
            for (int n = 0; n < 500; n++) producer.send(new ProducerRecord<>(id, "k" + n % 5, "v"));
        }
        Properties settings = new Properties();
        settings.putAll(common);
        settings.put("application.id", id);
        settings.put("default.key.serde", Serdes.StringSerde.class);
        settings.put("default.value.serde", Serdes.StringSerde.class);
        settings.put("auto.offset.reset", "earliest");
        settings.put("state.dir", arguments[1]);
        settings.put("commit.interval.ms", 200);
        settings.put("processing.guarantee", arguments[2]);
        Map<String, Long> counts = Collections.synchronizedMap(new TreeMap<>());
        CountDownLatch done = new CountDownLatch(1);
        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream(id).groupByKey().count().toStream().peek((key, count) -> {
            counts.put(key, count);
            if (counts.values().stream().mapToLong(each -> each).sum() == 500) done.countDown();
        }).to(id + "-out", Produced.with(Serdes.String(), Serdes.Long()));
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        streams.start();
        done.await(60, TimeUnit.SECONDS);
        streams.close(Duration.ofSeconds(10));
        System.out.println(counts);
        settings.put("isolation.level", "read_committed");
        settings.put("group.id", id + "-reader");
        Map<String, Long> last = new TreeMap<>();
        try (KafkaConsumer<String, Long> reader = new KafkaConsumer<>(
                settings, new StringDeserializer(), new LongDeserializer())) {
            reader.subscribe(List.of(id + "-out"));
            long until = System.currentTimeMillis() + 60_000;
            while (!last.equals(counts) && System.currentTimeMillis() < until)
                reader.poll(Duration.ofMillis(200)).forEach(each -> last.put(each.key(), each.value()));
        }
        System.out.println(last.equals(counts));
        System.exit(0);
    }
}
