// A consumer with franz-go: nothing is committed before what came of it is acknowledged.
//
// --commit-on-arrival is a bug on purpose: records are committed when they come in, and written a second later.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	broken := slices.Contains(os.Args[1:], "--commit-on-arrival")
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(os.Getenv("KAFKA_BROKERS"), ",")...),
		kgo.ConsumerGroup(os.Getenv("GROUP")),
		kgo.ConsumeTopics(os.Getenv("IN")),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(6*time.Second),
		kgo.HeartbeatInterval(1500*time.Millisecond),
		kgo.DisableAutoCommit(),
		// No topic partition goes to somebody else between a poll and its commit.
		kgo.BlockRebalanceOnPoll(),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RetryBackoffFn(func(int) time.Duration { return 250 * time.Millisecond }),
		kgo.MetadataMinAge(500*time.Millisecond),
		kgo.WithLogger(kgo.BasicLogger(os.Stdout, kgo.LogLevelWarn, nil)),
	)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	for {
		fetches := client.PollRecords(ctx, 1000)
		if ctx.Err() != nil {
			break
		}
		fetches.EachError(func(topic string, partition int32, err error) {
			fmt.Println("fetch:", topic, partition, err)
		})
		batch := fetches.Records()
		if broken {
			commit(ctx, client, batch)
			time.Sleep(time.Second) // "batching": a crash now loses the batch
		}
		if err := client.ProduceSync(ctx, outcomes(batch)...).FirstErr(); err != nil {
			fmt.Println("not acknowledged:", err) // uncommitted: whoever takes over does it again
			break
		}
		if !broken {
			commit(ctx, client, batch)
		}
		client.AllowRebalance()
	}
	client.CloseAllowingRebalance()
}

func outcomes(batch []*kgo.Record) []*kgo.Record {
	written := make([]*kgo.Record, 0, len(batch))
	for _, record := range batch {
		topic := os.Getenv("OUT")
		if bytes.HasPrefix(record.Value, []byte("poison")) {
			topic = os.Getenv("DEAD")
		}
		written = append(written, &kgo.Record{
			Topic: topic, Partition: record.Partition,
			Key: record.Key, Value: record.Value, Headers: record.Headers,
		})
	}
	return written
}

func commit(ctx context.Context, client *kgo.Client, batch []*kgo.Record) {
	if err := client.CommitRecords(ctx, batch...); err != nil {
		fmt.Println("commit:", err) // a rebalance: somebody will process these again
	}
}
