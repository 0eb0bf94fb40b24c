// POST a JSON body: it becomes a job, 202 with its id.
import http from 'node:http';
import { Queue } from 'bullmq';

const queue = new Queue('bench', { connection: { host: '127.0.0.1', port: Number(process.argv[2]) } });
await queue.waitUntilReady();
const server = http.createServer(async (req, res) => {
  try {
    const parts = [];
    for await (const part of req) parts.push(part);
    // Ended jobs are kept for a day, as nexus keeps them.
    const job = await queue.add('bench', JSON.parse(Buffer.concat(parts).toString()), { removeOnComplete: { age: 86400 } });
    const body = JSON.stringify({ id: job.id });
    res.writeHead(202, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
    res.end(body);
  } catch (e) {
    res.writeHead(500);
    res.end(String(e));
  }
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
