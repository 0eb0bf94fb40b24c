// A worker whose jobs do nothing.
import { Worker } from 'bullmq';

const worker = new Worker('bench', async () => null, {
  connection: { host: '127.0.0.1', port: Number(process.argv[2]), maxRetriesPerRequest: null },
  concurrency: Number(process.argv[3]),
});
await worker.waitUntilReady();
console.log('ready');
