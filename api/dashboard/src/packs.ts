// What can be taught without writing it: the packs, and the teacher.
import { useLoad, type Load } from './load';

export interface Packs { packs: string[]; teacher: string | null }

export const usePacks = (): Load<Packs> => useLoad<Packs>('/api/packs');
