import { isRefusal, type Refusal } from '../../core/refusal/index.ts';
import type { RootDocument } from '../../wire/trust/index.ts';
import type { FleetDirectory } from './fleet-directory.ts';
import { type RootDraft, writeDraft } from './root-drafts.ts';

/** A root of the fleet, judged as by a device that trusts the one before. */
export interface ChainedRoot extends RootDraft {
  /**
   * The root before it, whose keys must sign it, too; absent for one that is installed from a file.
   */
  readonly before?: RootDocument;
  /** Why devices would refuse it; absent when they would accept it. */
  readonly refusal?: Refusal;
}

/**
 * The roots of a fleet, oldest first. One whose version does not follow that of the file before
 * begins a new chain: it is installed on devices from a file.
 */
export async function rootChain(fleet: FleetDirectory, nowSeconds: number): Promise<readonly ChainedRoot[]> {
  const drafts = await fleet.roots();
  if (drafts.length === 0) return [];
  // Loads OpenPGP only when roots are verified.
  const { examineRoot } = await import('../../wire/trust/openpgp.ts');
  const chain: ChainedRoot[] = [];
  for (const draft of drafts) {
    const last = chain.at(-1)?.root;
    const before = last !== undefined && last.version + 1 === draft.root.version ? last : undefined;
    // A little later: a signature may be from this second, perhaps by a clock that is ahead.
    const context = {
      fleet: fleet.config.fleet,
      time: { nowSeconds: nowSeconds + 60, clockTrusted: true },
      ...(before === undefined ? {} : { trusted: before }),
    };
    const refusal = await examineRoot(writeDraft(draft), context).then(
      () => undefined,
      (error: unknown) => {
        if (!isRefusal(error)) throw error;
        return error;
      },
    );
    chain.push({
      ...draft,
      ...(before === undefined ? {} : { before }),
      ...(refusal === undefined ? {} : { refusal }),
    });
  }
  return chain;
}

/** The newest root that devices would accept. */
export async function newestRoot(
  fleet: FleetDirectory,
  nowSeconds: number,
): Promise<ChainedRoot | undefined> {
  return (await rootChain(fleet, nowSeconds)).findLast(({ refusal }) => refusal === undefined);
}
