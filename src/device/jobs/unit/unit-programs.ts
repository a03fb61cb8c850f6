import { startupSnapshot } from 'node:v8';
import { examineUnit } from '../examine/index.ts';
import { metadataUnit } from '../../metadata/index.ts';
import { pullUnit } from '../pull/index.ts';
import { renderUnit } from '../render/index.ts';
import { warmUp } from './warm-up.ts';

/** For the operator's tool, so that the package has only one copy. */
export * as openpgp from './shared-openpgp.ts';

/**
 * The programs of the units that work and end: `node unit-programs.cjs NAME ARGUMENT`, or `node
 * --snapshot-blob BLOB NAME ARGUMENT` from a startup snapshot of this file, in which all modules
 * are already loaded. They are one program so that one snapshot serves all of them
 * (docs/decisions/snapshots.md). The modules load when the snapshot is built: while they load, they
 * must not read the environment or keep a handle, hash or secret.
 */
const programs: ReadonlyMap<string, (argument: string) => Promise<void>> = new Map([
  ['examine', examineUnit],
  ['metadata', metadataUnit],
  ['pull', pullUnit],
  ['render', renderUnit],
  // Tests whether a snapshot is usable.
  ['probe', () => Promise.resolve()],
]);

function run(name: string | undefined, argument: string | undefined): void {
  const program = programs.get(name ?? '');
  if (program === undefined) throw new Error(`there is no program ${JSON.stringify(name)}`);
  program(argument ?? '').catch((error: unknown) => {
    process.stderr.write(`<3>${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exitCode = 1;
  });
}

if (startupSnapshot.isBuildingSnapshot()) {
  // Without it, a snapshot works as well but slower.
  if (process.argv[2] === 'warm') warmUp().catch(() => undefined);
  startupSnapshot.setDeserializeMainFunction(() => run(process.argv[1], process.argv[2]));
} else if (/unit-programs\.(?:cjs|ts)$/.test(process.argv[1] ?? '')) {
  run(process.argv[2], process.argv[3]);
}
