// franz-go: writes in every codec, reads in a group, asks as an administrator, and reads, writes and
// commits in transactions, of which every second one is aborted.
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
	transactions(ctx, admin, topic)
}

// transactions copies a topic message by message; aborted ones are read again.
func transactions(ctx context.Context, admin *kadm.Client, source string) {
	broker, target := kgo.SeedBrokers(os.Args[1]), source+"-t"
	_, err := admin.CreateTopic(ctx, 3, 1, nil, target)
	must(err)
	session, err := kgo.NewGroupTransactSession(broker, kgo.TransactionalID(target),
		kgo.ConsumerGroup(target), kgo.ConsumeTopics(source), kgo.RequireStableFetchOffsets(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	must(err)
	copied := 0
	for round := 0; copied < 500; round++ {
		fetches := session.PollRecords(ctx, 100)
		must(fetches.Err())
		must(session.Begin())
		for _, record := range fetches.Records() {
			session.Produce(ctx, &kgo.Record{Topic: target, Value: record.Value},
				func(_ *kgo.Record, err error) { must(err) })
		}
		must(session.Client().Flush(ctx))
		done, err := session.End(ctx, kgo.TransactionEndTry(round%2 == 1))
		must(err)
		if done {
			copied += fetches.NumRecords()
		}
	}
	session.Close()
	reader, err := kgo.NewClient(broker, kgo.ConsumeTopics(target),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	must(err)
	found := 0
	for found < 500 {
		fetches := reader.PollFetches(ctx)
		must(fetches.Err())
		found += fetches.NumRecords()
	}
	lags, err := admin.Lag(ctx, target)
	must(err)
	fmt.Println(found, lags[target].Lag.Total())
}
