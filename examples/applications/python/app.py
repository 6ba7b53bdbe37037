"""A consumer as teams write it, with confluent-kafka: nothing is committed before what came of it is acknowledged.

--drop-after-retry is a bug on purpose: a write that fails is logged and forgotten.
"""
import os
import signal
import sys

from confluent_kafka import Consumer, KafkaException, Producer

BROKEN = "--drop-after-retry" in sys.argv
env = os.environ

consumer = Consumer({
    "bootstrap.servers": env["KAFKA_BROKERS"],
    "group.id": env["GROUP"],
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "session.timeout.ms": 6000,
    "heartbeat.interval.ms": 1500,
    "reconnect.backoff.max.ms": 500,
})
producer = Producer({
    "bootstrap.servers": env["KAFKA_BROKERS"],
    "reconnect.backoff.max.ms": 500,
    "linger.ms": 5,
    # The bug: a message that is not through within two seconds is given up.
    **({"delivery.timeout.ms": 2000} if BROKEN else {"enable.idempotence": True}),
})

running = True


def stop(*_):
    global running
    running = False


signal.signal(signal.SIGTERM, stop)


def write(messages):
    """Writes what came of each record. Returns the errors of those that were not acknowledged."""
    errors = []
    for message in messages:
        poison = (message.value() or b"").startswith(b"poison")
        while True:
            try:
                producer.produce(
                    env["DEAD"] if poison else env["OUT"],
                    key=message.key(), value=message.value(), headers=message.headers(), partition=message.partition(),
                    on_delivery=lambda error, _: errors.append(error) if error else None,
                )
                break
            except BufferError:  # the queue is full: let it drain
                producer.poll(0.1)
    producer.flush()
    return errors


consumer.subscribe([env["IN"]])
print("ready", flush=True)
while running:
    batch = consumer.consume(num_messages=100, timeout=0.2)
    for message in (m for m in batch if m.error()):
        print(message.error(), flush=True)
    batch = [m for m in batch if not m.error()]
    if not batch:
        continue
    errors = write(batch)
    if errors and not BROKEN:
        sys.exit(f"not acknowledged: {errors[0]}")  # uncommitted: whoever takes over does it again
    for error in errors[:1]:
        print("gave up:", error, flush=True)
    offsets = {}
    for message in batch:
        offsets[message.partition()] = message
    for message in offsets.values():
        try:
            consumer.commit(message=message, asynchronous=False)
        except KafkaException as refused:  # a rebalance: somebody will process these again
            print("commit:", refused, flush=True)
consumer.close()
