// The built client against a real server at NEXUS_URL.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient, NexusError, result } from '../dist/index.js';

const nexus = createClient({ baseUrl: process.env.NEXUS_URL });

test('what is taught is answered, and the job has a typed result', async () => {
  const lessons = [{ prompt: 'How do I reset my password?', response: 'Open Settings.', topic: 'typescript' }];
  const taught = result(await nexus.POST('/api/lessons', { body: { lessons }, headers: { Prefer: 'wait=30' } }));
  const job = result(await nexus.GET('/api/jobs/{id}', { params: { path: { id: taught.id } } }));
  assert.equal(job.state, 'succeeded');
  assert.equal(job.result.lessons_taken, 1);
  const answer = result(await nexus.POST('/api/interact', { body: { prompt: 'How do I reset my password?', topic: 'typescript' } }));
  assert.equal(answer.response, 'Open Settings.');
  const answers = result(await nexus.GET('/api/answers', { params: { query: { topic: 'typescript' } } }));
  assert.equal(answers.answers.length, 1);
});

test('an error has its code and field', async () => {
  const got = await nexus.POST('/api/interact', { body: { prompt: '' } });
  assert.throws(() => result(got), (e) => e instanceof NexusError && e.status === 400 && e.code === 'prompt_empty' && e.field === 'prompt');
});
