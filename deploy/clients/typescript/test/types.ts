// Compiled only: what a job gives is typed.
import { createClient, result, type Answer, type Trained } from '../dist/index.js';

export async function typed(id: string): Promise<number> {
  const nexus = createClient({ baseUrl: 'http://localhost:8000' });
  const job = result(await nexus.GET('/api/jobs/{id}', { params: { path: { id } } }));
  const made: Answer | Trained | null = job.result;
  if (made && 'lessons_taken' in made) return made.lessons_taken;
  // @ts-expect-error a job has no such state
  if (job.state === 'done') return 1;
  return made?.confidence ?? 0;
}
