// BullMQ: `node bullmq.js work` is one worker process, `node bullmq.js publish` the publisher.
'use strict';
const { Queue, Worker } = require('bullmq');
const { handle } = require('./tally.js');
const { serve } = require('./publishing.js');

const url = new URL(process.env.BENCH_URL);
const connection = { host: url.hostname, port: Number(url.port), maxRetriesPerRequest: null };
const kept = { removeOnComplete: true, removeOnFail: true };

async function publish() {
  const queue = new Queue('bench', { connection, defaultJobOptions: kept });
  await serve(
    async (numbers, us) => {
      for (let start = 0; start < numbers.length; start += 1000) {
        const batch = numbers.slice(start, start + 1000);
        await queue.addBulk(batch.map((n) => ({ name: 'handler', data: { n, us } })));
      }
    },
    (n, us) => queue.add('handler', { n, us }),
  );
  await queue.close();
}

function work() {
  const concurrency = Number(process.env.BENCH_CONCURRENCY || 50);
  const worker = new Worker('bench', async (job) => handle(job.data.n, job.data.us), { connection, concurrency });
  worker.on('error', (error) => console.error(error));
  process.on('SIGTERM', () => worker.close().then(() => process.exit(0)));
}

if (process.argv[2] === 'publish') publish(); else work();
