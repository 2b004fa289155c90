// franz-go: writes in every codec, reads in a group, and asks as an administrator.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	broker, topic := kgo.SeedBrokers(os.Args[1]), fmt.Sprintf("franz-go-%d", time.Now().UnixNano())
	client, err := kgo.NewClient(broker)
	must(err)
	admin := kadm.NewClient(client)
	_, err = admin.CreateTopic(ctx, 3, 1, nil, topic)
	must(err)
	codecs := []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(),
		kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}
	for _, codec := range codecs {
		producer, err := kgo.NewClient(broker, kgo.ProducerBatchCompression(codec))
		must(err)
		for n := 0; n < 100; n++ {
			record := kgo.Record{Topic: topic, Key: []byte(fmt.Sprint(n)), Value: []byte("v")}
			producer.Produce(ctx, &record, func(_ *kgo.Record, err error) { must(err) })
		}
		must(producer.Flush(ctx))
		producer.Close()
	}
	reader, err := kgo.NewClient(broker, kgo.ConsumerGroup(topic), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	must(err)
	count := 0
	for count < 500 {
		fetches := reader.PollFetches(ctx)
		must(fetches.Err())
		count += fetches.NumRecords()
	}
	must(reader.CommitUncommittedOffsets(ctx))
	lags, err := admin.Lag(ctx, topic)
	must(err)
	dirs, err := admin.DescribeAllLogDirs(ctx, nil)
	must(err)
	fmt.Println(count, lags[topic].Lag.Total(), len(dirs.Sorted()) > 0)
}
