// The pages, and where they stand in the menu.
import type { FunctionComponent } from 'preact';
import { openRefusals } from './inbox';
import { learning } from './live';
import { Overview } from './page/overview';
import { Ask } from './page/ask';
import { Answers } from './page/answers';
import { Lessons } from './page/lessons';
import { Import } from './page/import';
import { Refusals } from './page/refusals';
import { Checks } from './page/checks';
import { Topics } from './page/topics';
import { Learning } from './page/learning';
import { Checkpoints } from './page/checkpoints';
import { Risk } from './page/risk';
import { Jobs } from './page/jobs';
import { Workers } from './page/workers';
import { Audit } from './page/audit';
import { Access } from './page/access';

export interface Page { title: string; view: FunctionComponent; badge?: () => number }

export const pages: Record<string, Page> = {
  overview: { title: 'Overview', view: Overview },
  ask: { title: 'Ask and teach', view: Ask },
  refusals: { title: 'Inbox', view: Refusals, badge: () => openRefusals.value },
  answers: { title: 'Answers', view: Answers },
  lessons: { title: 'Lessons', view: Lessons },
  topics: { title: 'Topics', view: Topics },
  checks: { title: 'Test prompts', view: Checks },
  import: { title: 'Import and export', view: Import },
  learning: { title: 'Learning', view: Learning },
  checkpoints: { title: 'Checkpoints', view: Checkpoints },
  risk: { title: 'Risk and coverage', view: Risk },
  jobs: { title: 'Jobs', view: Jobs, badge: () => learning.value?.queued ?? 0 },
  workers: { title: 'Queues and workers', view: Workers },
  audit: { title: 'Audit log', view: Audit },
  access: { title: 'Sessions and keys', view: Access },
};

export const groups = [
  { name: '', pages: ['overview', 'ask', 'refusals'] },
  { name: 'Knowledge', pages: ['answers', 'lessons', 'topics', 'checks', 'import'] },
  { name: 'Model', pages: ['learning', 'checkpoints', 'risk'] },
  { name: 'Operation', pages: ['jobs', 'workers', 'audit', 'access'] },
];
