import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * A service with transactions: what came of a batch and the batch's offsets are committed together, or neither.
 *
 * <p>--auto-commit is a bug on purpose: no transactions, and offsets committed by the client whenever it likes.
 */
public final class Service {
    private static final Map<String, String> ENV = System.getenv();
    private static volatile boolean running = true;

    public static void main(String[] arguments) throws Exception {
        boolean broken = List.of(arguments).contains("--auto-commit");
        KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(consumerProperties(broken));
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            running = false;
            try {
                main.join(8000);
            } catch (InterruptedException ended) {
                Thread.currentThread().interrupt();
            }
        }));
        KafkaProducer<byte[], byte[]> producer = producer(broken);
        consumer.subscribe(List.of(ENV.get("IN")));
        System.out.println("ready");
        while (running) {
            ConsumerRecords<byte[], byte[]> batch = consumer.poll(Duration.ofMillis(200));
            if (batch.isEmpty()) continue;
            if (broken) {
                for (ConsumerRecord<byte[], byte[]> record : batch) producer.send(outcome(record));
                producer.flush();
                continue;
            }
            try {
                producer.beginTransaction();
                Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
                for (ConsumerRecord<byte[], byte[]> record : batch) {
                    producer.send(outcome(record));
                    offsets.put(new TopicPartition(record.topic(), record.partition()),
                            new OffsetAndMetadata(record.offset() + 1));
                }
                producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
                producer.commitTransaction();
            } catch (KafkaException refused) { // a rebalance, a time-out, a fence: nothing of the batch counts
                System.out.println("transaction: " + refused);
                producer = afresh(producer);
                rewind(consumer);
            }
        }
        producer.close(Duration.ofSeconds(3));
        consumer.close();
    }

    /** Aborts; where even that is refused, a new producer fences the old one off. */
    private static KafkaProducer<byte[], byte[]> afresh(KafkaProducer<byte[], byte[]> producer) {
        try {
            producer.abortTransaction();
            return producer;
        } catch (KafkaException fatal) {
            System.out.println("abort: " + fatal);
            producer.close(Duration.ZERO);
            return producer(false);
        }
    }

    /** Back to what was committed: the aborted batch is read again. */
    private static void rewind(KafkaConsumer<byte[], byte[]> consumer) {
        consumer.committed(consumer.assignment()).forEach((partition, committed) -> {
            if (committed == null) consumer.seekToBeginning(List.of(partition));
            else consumer.seek(partition, committed);
        });
    }

    private static ProducerRecord<byte[], byte[]> outcome(ConsumerRecord<byte[], byte[]> in) {
        boolean poison = new String(in.value(), StandardCharsets.UTF_8).startsWith("poison");
        String topic = ENV.get(poison ? "DEAD" : "OUT");
        return new ProducerRecord<>(topic, in.partition(), in.key(), in.value(), in.headers());
    }

    private static Properties consumerProperties(boolean broken) {
        Properties properties = common();
        properties.put("group.id", ENV.get("GROUP"));
        properties.put("auto.offset.reset", "earliest");
        properties.put("enable.auto.commit", String.valueOf(broken));
        properties.put("session.timeout.ms", "6000");
        properties.put("heartbeat.interval.ms", "1500");
        properties.put("max.poll.records", "100");
        properties.put("key.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("value.deserializer", ByteArrayDeserializer.class.getName());
        return properties;
    }

    private static KafkaProducer<byte[], byte[]> producer(boolean broken) {
        Properties properties = common();
        properties.put("linger.ms", "5");
        properties.put("key.serializer", ByteArraySerializer.class.getName());
        properties.put("value.serializer", ByteArraySerializer.class.getName());
        if (broken) return new KafkaProducer<>(properties);
        // The same for a member and its successor: who comes back ends what was left open.
        properties.put("transactional.id", ENV.get("GROUP") + "-" + ENV.get("SEAWORTHY_MEMBER"));
        properties.put("transaction.timeout.ms", "30000");
        KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(properties);
        producer.initTransactions();
        return producer;
    }

    private static Properties common() {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", ENV.get("KAFKA_BROKERS"));
        properties.put("reconnect.backoff.max.ms", "500");
        return properties;
    }
}
