// What the server sends, as far as the dashboard reads it; openapi.yaml has all of it.

export interface Status {
  health: { healthy: boolean; status: 'healthy' | 'degraded' | 'unhealthy'; issues: string[] };
  daemon: { running: boolean; paused: boolean; uptime_seconds: number; version: string };
  control: { paused: boolean; training: boolean; topic: string | null; target_error: number | null };
  metrics: {
    window_ms: number;
    requests: {
      total: number; success_rate: number; refusal_rate: number; rate_per_second: number;
      answered: number; refused: number; failed: number; refusals: Record<string, number>;
    };
    latency: { request: Latency; queue: Latency; compute: Latency };
    flow: { average_depth: number; convergence_rate: number };
    confidence: { count: number; average: number; p50: number; p95: number };
  };
  memory: { process: Memory };
  resources: { cpu_percent: number; process_cpu_percent: number; mode: string; reason: string | null };
  circuit_breakers: Record<string, { state: string }>;
  model: {
    architecture: string | null; size: string | null; parameters: number; checkpoint: string | null;
    confidence_threshold: number; target_error: number; lessons: number; answers: number; topics: Record<string, number>;
    successor: { architecture: string; size: string; state: string; done: number; total: number; why: string | null } | null;
  };
  workers: Worker[];
  processes: { id: string; roles: string[]; host: string; pid: number; version: string; uptime_seconds: number; cpu_percent: number; memory: Memory }[];
  queues: Record<string, Queue>;
  hardware: Host[];
  redis: { rung: string; describe: string; connected: boolean; ping_ms: number };
  storage: { kind: string; where: string; healthy: boolean; fault: string | null };
}

export interface Latency { count: number; average_ms: number; p50_ms: number; p95_ms: number; p99_ms: number; max_ms: number }
export interface Memory { current_mb: number; peak_mb: number; growth_rate_mb_per_hour: number; level: string; warning_mb: number }
export interface Worker {
  id: string; host: string; device: string; mode: string; mode_reason: string | null; busy: number; slots: number;
  trainer: boolean; training: string | null; checkpoint: string | null; unloaded: { checkpoint: string; why: string } | null;
}
export interface Queue {
  pending: number; active: number; delayed: number; max: number; paused: boolean; reason: string | null;
  oldest_ms: number; processed: number; failed: number;
}
export interface Host {
  host: string; cpu: { model?: string; cores?: number; threads?: number }; memory_mb: number;
  gpus: { name?: string; memory_mb?: number; temperature_c?: number }[] | null; device: string; why: string;
}

export interface Learning {
  state: 'learning' | 'waiting' | 'paused' | 'stopped' | 'idle';
  job_id: string | null; topic: string | null; phase: string | null; done: number; total: number;
  waiting_for: string | null; queued: number;
}

export interface Validity { state?: 'live' | 'draft' | 'scheduled' | 'expired'; draft?: boolean; valid_from?: string | null; valid_until?: string | null }
export interface Lesson extends Validity { id: string; topic: string; prompt: string; response: string | null; created_at?: string }
export interface Answer extends Validity {
  id: string; response: string | null; topic: string; lessons: { id: string; prompt: string }[]; updated_at: string | null;
  phrasings?: number; hits?: number; last_hit_at?: string | null;
}
export interface Change {
  id: string; at: string | null; who: string; what: 'taught' | 'revised' | 'moved' | 'unlearned'; response: string | null; refusal: boolean;
  topic: string; phrasings: number; prompts: string[];
}
export interface Source { lesson_id: string; prompt: string; similarity: number }
export interface Asked {
  job_id: string; interaction_id: string; response: string; responded: boolean; reason: string | null; confidence: number;
  threshold: number; topic: string | null; sources: Source[]; flow: { depth: number; converged: boolean; residual: number };
  checkpoint: string | null; timing: { total_ms: number; compute_ms: number; queue_ms: number };
}

export interface Refusal {
  id?: string; kind?: 'wrong' | 'unsure'; response?: string; confidence?: number; threshold?: number;
  prompt: string; topic?: string; reason: string; count: number; last_at: string | null;
  interactions: string[]; variants: string[]; nearest?: { answer_id?: string; lesson_id?: string; prompt?: string; response?: string | null; topic?: string; similarity?: number }[];
}

export interface Suggestion {
  answer_id: string; response: string; topic: string; count: number;
  groups: { id: string; prompt: string; variants: string[]; count: number; similarity: number }[];
}

export interface Check { id: string; topic: string; prompt: string; expected: string | null; created_at: string | null }
export interface CheckResult {
  check_id: string; topic: string; prompt: string; expected: string | null; response: string | null; reason: string | null; confidence: number; passed: boolean;
}
export interface CheckRun { id: string; at: string | null; checkpoint: string; why: 'asked' | 'edited' | 'checkpoint'; total: number; passed: number; topics: { topic: string; total: number; passed: number }[] }
export interface CheckChanges {
  before: CheckRun | null; after: CheckRun | null; changes: (CheckResult & { before: CheckResult | null; change: 'fixed' | 'broken' | 'changed' | 'new' | 'same' })[];
}

export interface Backup { state: 'none' | 'running' | 'done' | 'failed'; file: string | null; bytes: number; checkpoint: string | null; datasets: number; left_out: number }
export interface RiskPoint { threshold: number; answered: number; wrong: number; foreign_answered: number }
export interface RiskChoice extends RiskPoint { target_error: number }
export interface Risks extends RiskPoint {
  target_error: number; set: boolean; prompts: number; foreign: number; own: boolean; curve: RiskPoint[]; choices: RiskChoice[];
  reliability: { from: number; to: number; prompts: number; confidence: number; right: number }[];
}

export interface Topic {
  topic: string; answers: number; lessons: number; single_phrasing: number; never_hit: number;
  expected: { answered: number; wrong: number } | null; collisions?: { answers: [string, string]; similarity: number }[];
}

export interface Figures {
  prompts: number; accuracy: number; answered: number; wrong_answered: number; foreign_refused: number; threshold: number;
}
export interface Trained {
  lessons_taken: number; lessons_known: number; lessons_removed: number; lessons_skipped: number; steps: number; losses?: number[]; duration_ms: number;
  before: Figures | null; after: Figures | null; checkpoint: string; promoted: boolean; why: string;
  skipped?: ImportFault[]; contradictions?: { prompt: string; older: string; newer: string }[];
}
export interface Job {
  id: string; kind: 'interact' | 'train'; state: 'queued' | 'running' | 'succeeded' | 'failed' | 'canceled'; topic?: string;
  progress: { phase: string; done: number; total: number; message: string };
  created_at: string | null; started_at: string | null; finished_at: string | null; attempts: number; queue_position: number | null;
  result: unknown; error: { detail: string; code: string } | null; waiting_for: string | null;
}

export interface Checkpoint {
  id: string; parent: string | null; head: boolean; created_at: string | null; why: string; lessons: number; datasets: number;
  size_bytes: number; model_bytes: number; figures: Figures | null; aliases: string[]; verified_at: string | null; failing: string | null;
  uploaded: boolean | null;
}

export interface ImportFault { line: number; detail: string; code?: string }
export interface Preview {
  format: string; encoding?: string | null; delimiter?: string | null;
  columns?: { prompt: string | null; response: string | null; topic: string | null; names?: string[] } | null;
  lessons: number; new: number; known: number; duplicates: number; contradictions: { prompt: string; responses: (string | null)[] }[]; contradictions_total: number;
  faults: ImportFault[]; faults_total: number; sample: { prompt: string; response: string | null; topic?: string }[];
}

export interface History { range: string; step_ms: number; at: number[]; figures: Record<string, number[]> }
