// A consumer with kafkajs: nothing is committed before what came of it is acknowledged, and each topic partition's records
// are written in their order.
//
// --all-at-once is a bug on purpose: the records of a batch are handled side by side, and each is written when it is done.
const { Kafka, logLevel } = require('kafkajs')

const { KAFKA_BROKERS, GROUP, IN, OUT, DEAD } = process.env
const broken = process.argv.includes('--all-at-once')

const kafka = new Kafka({
  clientId: 'service',
  brokers: KAFKA_BROKERS.split(','),
  logLevel: logLevel.WARN,
  connectionTimeout: 2000,
  requestTimeout: 5000,
  retry: { initialRetryTime: 100, maxRetryTime: 500, retries: 100 },
})
const consumer = kafka.consumer({
  groupId: GROUP,
  sessionTimeout: 6000,
  heartbeatInterval: 1500,
  maxWaitTimeInMs: 200,
})
// Idempotent, one request at a time: a retry neither doubles a record nor overtakes another.
const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, allowAutoTopicCreation: false })

function outcome({ key, value, headers }, partition) {
  const poison = value.subarray(0, 6).toString() === 'poison'
  return { topic: poison ? DEAD : OUT, messages: [{ partition, key, value, headers }] }
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms))

async function handle({ batch, heartbeat, isRunning, isStale }) {
  if (!isRunning() || isStale()) return
  // A write can take longer than a session lasts, and this client only sends heartbeats when it is told to.
  const beat = setInterval(() => heartbeat().catch(() => {}), 500)
  try {
    if (broken) {
      await Promise.all(batch.messages.map(async (message) => {
        await sleep(Math.random() * 50)
        await producer.sendBatch({ acks: -1, topicMessages: [outcome(message, batch.partition)] })
      }))
    } else {
      const topicMessages = batch.messages.map((message) => outcome(message, batch.partition))
      await producer.sendBatch({ acks: -1, topicMessages })
    }
    // What throws before this is read again.
    const offset = (BigInt(batch.lastOffset()) + 1n).toString()
    await consumer.commitOffsets([{ topic: batch.topic, partition: batch.partition, offset }])
  } finally {
    clearInterval(beat)
  }
}

process.once('SIGTERM', async () => {
  await consumer.disconnect()
  await producer.disconnect()
  process.exit(0)
})

async function main() {
  await producer.connect()
  await consumer.connect()
  await consumer.subscribe({ topics: [IN], fromBeginning: true })
  await consumer.run({ autoCommit: false, partitionsConsumedConcurrently: 3, eachBatch: handle })
  console.log('ready')
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
