// Following one job until it ends.
import { get, stream } from './server';
import type { Job } from './types';

export const ended = (j: Job): boolean => j.state === 'succeeded' || j.state === 'failed' || j.state === 'canceled';
const stored = new Set(['memorised', 'consolidating', 'judging', 'done']);
// answers tells whether what a train job teaches answers already.
export const answers = (j: Job): boolean => j.state === 'succeeded' || (!ended(j) && stored.has(j.progress.phase));

// follow reads a job anew at each of its events, until it ends or enough says so.
export async function follow(id: string, on: (j: Job) => void, enough: (j: Job) => boolean = ended, signal?: AbortSignal): Promise<Job> {
  const stop = new AbortController();
  signal?.addEventListener('abort', () => stop.abort());
  const path = '/api/jobs/' + encodeURIComponent(id);
  let last = await get<Job>(path, stop.signal);
  on(last);
  while (!enough(last) && !ended(last) && !stop.signal.aborted) {
    let reading: Promise<void> | null = null;
    const look = async (): Promise<void> => {
      last = await get<Job>(path, stop.signal);
      on(last);
      if (enough(last) || ended(last)) stop.abort();
    };
    try {
      await stream(path + '/events', () => { reading ??= look().finally(() => { reading = null; }); }, stop.signal);
    } catch (e) {
      if (!stop.signal.aborted && !(e instanceof DOMException)) throw e;
    }
    if (reading) await (reading as Promise<void>).catch(() => undefined);
    if (!stop.signal.aborted) await look().catch(() => undefined);
    if (!ended(last) && !enough(last) && !stop.signal.aborted) await new Promise((go) => setTimeout(go, 1000));
  }
  return last;
}
