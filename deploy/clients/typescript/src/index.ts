// The client: every path, parameter and result is typed from openapi.yaml.
import createFetch, { type Client as Fetch } from 'openapi-fetch';
import type { components, paths } from './schema.js';

export type { components, paths } from './schema.js';
export type Answer = components['schemas']['Answer'];
export type Job = components['schemas']['Job'];
export type Trained = components['schemas']['Trained'];
export type Problem = components['schemas']['Error'];
export type Client = Fetch<paths>;

export interface Options {
  baseUrl: string;
  key?: string; // an API key, if the server asks for one
  fetch?: (request: Request) => Promise<Response>;
}

// createClient makes a client: client.POST('/api/interact', { body: { prompt } }).
export function createClient(options: Options): Client {
  return createFetch<paths>({
    baseUrl: options.baseUrl,
    ...(options.fetch && { fetch: options.fetch }),
    headers: options.key ? { Authorization: 'Bearer ' + options.key } : {},
  });
}

// NexusError is an answer of the server that is not a result.
export class NexusError extends Error {
  readonly status: number;
  readonly code: string;
  readonly field: string | undefined;
  readonly requestId: string;
  constructor(status: number, problem: Problem) {
    super(problem.detail);
    this.name = 'NexusError';
    this.status = status;
    this.code = problem.code;
    this.field = problem.field;
    this.requestId = problem.request_id;
  }
}

// result unpacks what a call gave, or throws its NexusError.
export function result<T>(got: { data?: T; error?: Problem; response: Response }): T {
  if (got.data === undefined) throw new NexusError(got.response.status, got.error ?? { detail: got.response.statusText, code: 'unknown', request_id: '' });
  return got.data;
}
