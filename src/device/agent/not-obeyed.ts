import { diskRefusal, isRefusal, type Refusal } from '../../core/refusal/index.ts';
import type { DesiredState } from '../../wire/trust/index.ts';

/** A command was accepted but could not be carried out. */
export class NotObeyed extends Error {
  readonly refusal: Refusal;
  readonly version: number;

  constructor(refusal: Refusal, version: number) {
    super(refusal.message, { cause: refusal });
    this.refusal = refusal;
    this.version = version;
  }
}

/** Waits for `saved`. @throws NotObeyed when a system call failed */
export async function orNotObeyed({ version }: DesiredState, saved: Promise<void>): Promise<void> {
  await saved.catch((error: unknown) => {
    const refusal = diskRefusal(error, `version ${version} cannot be saved`);
    throw refusal === undefined ? error : new NotObeyed(refusal, version);
  });
}

/** Gives errors of the operating system a code; undefined for a bug in wherry. */
export function asRefusal(error: unknown): Refusal | undefined {
  return isRefusal(error) ? error : diskRefusal(error, 'the message cannot be examined');
}
