import { status } from './live';
// The topics that have lessons, as the status tells them.
export const topicNames = (): string[] => Object.keys(status.value?.model.topics ?? {}).sort();
