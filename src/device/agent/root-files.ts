import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { readRegular } from '../../core/files/index.ts';
import { asLocalRefusal, reasonOf, Refusal } from '../../core/refusal/index.ts';
import { maxEnvelopeBytes } from '../../wire/trust/index.ts';
import type { TrustPlaces } from '../store/index.ts';

/** The file is beside the directories of keys, in both stores. */
const rootFileName = 'root.cbor';

/** A root that the administrator of the device or its image has put there. */
export interface RootFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/**
 * The roots of both stores; a store may have none.
 *
 * @throws {Refusal} `config-invalid` for one that cannot be read
 */
export function rootFiles({ local, system }: TrustPlaces): readonly RootFile[] {
  return [local, ...(system === undefined ? [] : [system])].flatMap((store): RootFile[] => {
    const path = join(store, rootFileName);
    try {
      const { size } = lstatSync(path);
      if (size > maxEnvelopeBytes)
        throw new Error(`${path} has ${size} bytes; ${maxEnvelopeBytes} are the limit`);
      return [{ path, bytes: readRegular(path) }];
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw new Refusal('config-invalid', `the root ${reasonOf(asLocalRefusal(cause, path))}`, { cause });
    }
  });
}
