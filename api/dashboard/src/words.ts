// Figures and states in words.
import type { Learning, Status } from './types';
import { Fault } from './server';

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

// count separates thousands by a narrow space: 1 216.
export const count = (n: number): string => whole.format(n).replaceAll(',', '\u202f');
export const number = (x: number): string => (x >= 1000 ? count(x) : x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2));
export const percent = (x: number): string => (100 * x).toFixed(x > 0 && x < 0.1 ? 1 : 0) + '\u202f%';
export const many = (n: number, one: string, more = one + 's'): string => count(n) + ' ' + (n === 1 ? one : more);
export const short = (id: string | null): string => (id ? id.slice(-8) : 'none');
export const plain = (code: string): string => code.replaceAll('_', ' ');
export const upper = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);
export const title = (name: string): string => upper(plain(name));
export const cut = (text: string, length: number): string => (text.length > length ? text.slice(0, length - 1).trimEnd() + '…' : text);

export function span(seconds: number): string {
  if (seconds < 1) return Math.round(seconds * 1000) + ' ms';
  if (seconds < 10) return seconds.toFixed(1) + ' s';
  if (seconds < 90) return Math.round(seconds) + ' s';
  if (seconds < 5400) return Math.round(seconds / 60) + ' min';
  if (seconds < 172800) return Math.round(seconds / 3600) + ' h';
  return Math.round(seconds / 86400) + ' d';
}

export function ago(at: string | null | undefined): string {
  if (!at) return 'never';
  const s = (Date.now() - Date.parse(at)) / 1000;
  return s < 5 ? 'just now' : span(s) + ' ago';
}

export const moment = (at: string | null | undefined): string => (at ? new Date(at).toLocaleString() : '–');

export function bytes(n: number): string {
  for (const [unit, size] of [['GB', 1e9], ['MB', 1e6], ['kB', 1e3]] as const) if (n >= size) return number(n / size) + ' ' + unit;
  return n + ' B';
}

const reasons: Record<string, string> = {
  untaught: 'nothing has been taught yet',
  low_confidence: 'not sure enough of the best answer',
  ambiguous: 'two answers are too close to choose',
  unfamiliar: 'unlike anything that was taught',
  taught_refusal: 'taught to refuse prompts like this',
  not_converged: 'the model did not converge',
};
export const reasonOf = (code: string | null): string => (code ? reasons[code] ?? plain(code) : '');

const phases: Record<string, string> = {
  asking: 'The teacher writes lessons', memorising: 'Storing the lessons', memorised: 'Stored and answering; training follows',
  consolidating: 'Training', judging: 'Judging the new weights', done: 'Done',
};
export const phaseOf = (code: string): string => phases[code] ?? (code ? plain(code) : 'Starting');

// learningOf says what is being learned in one sentence.
export function learningOf(l: Learning | null): string {
  if (!l) return '';
  const about = l.topic ? ` ${plain(l.topic)}` : '';
  const more = l.queued > 0 && l.state === 'learning' ? `, ${many(l.queued, 'job')} waiting` : '';
  switch (l.state) {
    case 'learning':
      if (l.phase === 'consolidating' && l.total) return `Learning${about}: ${count(l.done)} of ${count(l.total)} steps${more}`;
      return `Learning${about}: ${phaseOf(l.phase ?? '').toLowerCase()}${more}`;
    case 'paused': return l.queued ? `Learning is paused; ${many(l.queued, 'job')} waiting` : 'Learning is paused';
    case 'stopped': return l.queued ? `Training is stopped; ${many(l.queued, 'job')} waiting` : 'Training is stopped; new lessons still answer';
    case 'waiting': return 'Waiting to learn' + (l.waiting_for ? `: ${l.waiting_for}` : '');
    default: return 'Nothing to learn';
  }
}

// sentence is the state of the whole in one sentence.
export function sentence(s: Status): string {
  const issues = s.health.issues.length;
  if (s.health.status === 'unhealthy') return 'Nothing can be answered right now';
  if (s.health.status === 'degraded') return `Answering, but ${issues === 1 ? 'one thing needs' : `${issues} things need`} attention`;
  if (s.model.lessons === 0) return 'Ready, and waiting for its first lesson';
  return `All is well: ${many(s.model.lessons, 'lesson')} answer on ${many(s.workers.length, 'worker')}`;
}

const faults: Record<string, string> = {
  unreachable: 'The server cannot be reached. This page tries again by itself.',
  unknown_topic: 'There is no topic pack of this name.',
  rate_limited: 'Too many requests for now. Wait a moment, then try again.',
};

// say is a fault for people: the server's sentence without the parts that are
// written for programs.
export function say(e: unknown): string {
  if (!(e instanceof Fault)) return e instanceof Error ? e.message : String(e);
  if (faults[e.code]) return faults[e.code];
  if (e.status === 403) return 'Your key does not permit this. Ask your administrator for a key with this permission.';
  const kept = e.message.split(/(?<=[.;]) /).filter((p) => !/\/api\/|\?\w+=|\b(GET|POST|DELETE|PUT|PATCH)\b/.test(p)).join(' ').replace(/;$/, '');
  const text = kept || 'The server refused this.';
  return text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? '' : '.');
}
