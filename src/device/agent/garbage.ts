import type { Journal } from '../../core/ports/index.ts';
import { Rounds } from './rounds.ts';

export interface GarbagePorts {
  /** Resolves when no deployment is under way. */
  readonly rest: () => Promise<void>;
  /** Deletes objects that no deployment needs. */
  readonly collect: () => Promise<void>;
  readonly journal: Journal;
  readonly signal: AbortSignal;
}

/**
 * Collects garbage in rounds. Nothing is collected during a deployment: objects that it is about to
 * use have no root yet. A request during a round starts one more, because the round may have looked
 * before something became garbage.
 */
export function garbageRounds({ rest, collect, journal, signal }: GarbagePorts): Rounds {
  return new Rounds(async () => {
    try {
      await rest();
      if (signal.aborted) return;
      await collect();
    } catch (error) {
      journal.log('warning', `garbage could not be collected: ${String(error)}`);
    }
  });
}
