// BullMQ: `node bullmq.js work` is one worker process, `node bullmq.js publish` the publisher.
'use strict';
const { Queue, Worker } = require('bullmq');
const { handle } = require('./tally.js');
const { serve } = require('./publishing.js');

const url = new URL(process.env.BENCH_URL);
const connection = { host: url.hostname, port: Number(url.port), maxRetriesPerRequest: null };
const feature = process.env.BENCH_FEATURE || '';
const kept = { removeOnComplete: process.env.BENCH_RESULTS ? { age: 3600 } : true, removeOnFail: true };
const result = process.env.BENCH_RESULTS ? 'x'.repeat(100) : undefined;

function unique(n) {
  if (feature === 'unique') return { jobId: `key-${n}` };
  return feature === 'deduplicated' ? { deduplication: { id: `key-${n}` } } : {};
}

async function processOne(job) {
  if (feature === 'progress') await job.updateProgress(50);
  handle(job.data.n, job.data.us);
  return result;
}

async function publish() {
  const queue = new Queue('bench', { connection, defaultJobOptions: kept });
  await serve(
    async (numbers, us) => {
      for (let start = 0; start < numbers.length; start += 1000) {
        const batch = numbers.slice(start, start + 1000);
        await queue.addBulk(batch.map((n) => ({ name: 'handler', data: { n, us }, opts: unique(n) })));
      }
    },
    (n, us) => queue.add('handler', { n, us }, unique(n)),
  );
  await queue.close();
}

function work() {
  const concurrency = Number(process.env.BENCH_CONCURRENCY || 50);
  const worker = new Worker('bench', processOne, { connection, concurrency });
  worker.on('error', (error) => console.error(error));
  process.on('SIGTERM', () => worker.close().then(() => process.exit(0)));
}

if (process.argv[2] === 'publish') publish(); else work();
