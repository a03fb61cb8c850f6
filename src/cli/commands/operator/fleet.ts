import { dirname, join } from 'node:path';
import { inDirectory } from '../../../core/files/index.ts';
import { FleetDirectory, provisionFiles, rootChain, type KeyRole } from '../../../operator/fleet/index.ts';
import { writeFiles } from '../../../operator/build/index.ts';
import { formatFingerprint, generateKey } from '../../../wire/trust/sign.ts';
import type { Context } from '../../context.ts';
import { enrolledRootNote } from './root-notes.ts';

/** `wherry fleet init` */
export async function initFleet(
  context: Context,
  name: string,
  options: { readonly broker: string; readonly images: string },
): Promise<void> {
  const { fleet, fingerprints } = await createFleet(context, name, options.broker, options.images);
  const { terminal } = context;
  if (context.json) {
    terminal.out(JSON.stringify({ fleet: name, path: fleet.path, fingerprints }));
    return;
  }
  terminal.out(`made the fleet ${name} in ${fleet.path}`);
  for (const [role, fingerprint] of Object.entries(fingerprints)) {
    terminal.out(`  ${role.padEnd(6)} key ${formatFingerprint(fingerprint)}`);
  }
  terminal.out(`keep ${join(fleet.path, 'keys')} secret: anyone who has it can command the fleet`);
}

/** Makes a fleet directory with both keys. */
export async function createFleet(
  context: Context,
  name: string,
  brokerUrl: string,
  imagesUrl: string,
): Promise<{ readonly fleet: FleetDirectory; readonly fingerprints: Record<KeyRole, string> }> {
  const createdSeconds = Math.floor(context.clock.nowMs() / 1000);
  const deploy = await generateKey({ name: `${name} deploy`, createdSeconds });
  const images = await generateKey({ name: `${name} images`, createdSeconds });
  const fleet = await FleetDirectory.init(
    context.fleetPath,
    { fleet: name, brokerUrl, imagesUrl },
    { deploy, images },
  );
  return { fleet, fingerprints: { deploy: deploy.fingerprint, images: images.fingerprint } };
}

/** `wherry fleet provision` */
export async function provision(
  context: Context,
  device: string,
  options: { readonly output?: string },
): Promise<void> {
  const nowSeconds = Math.floor(context.clock.nowMs() / 1000);
  const fleet = await FleetDirectory.open(context.fleetPath);
  const files = await provisionFiles(fleet, device, nowSeconds);
  const { terminal } = context;
  const rootNote = enrolledRootNote(await rootChain(fleet, nowSeconds), nowSeconds);
  if (rootNote !== undefined) terminal.err(`note: ${rootNote}\n`);
  const { output } = options;
  if (output !== undefined) {
    const targets = [...files].map(([path, content]) => ({ path: join(output, path), content }));
    const write = async ([directory, ...others]: readonly string[]): Promise<void> =>
      directory === undefined ? await writeFiles(targets) : await inDirectory(directory, () => write(others));
    await write(targets.map(({ path }) => dirname(path)));
  }
  if (context.json) {
    terminal.out(
      JSON.stringify({
        device,
        files: Object.fromEntries([...files].map(([path, content]) => [path, textOf(content)])),
      }),
    );
  } else if (output === undefined) {
    for (const [path, content] of files) terminal.out(`# ${path}\n${textOf(content).trimEnd()}\n`);
  } else {
    for (const path of files.keys()) terminal.out(join(output, path));
  }
}

/** A file of CBOR is shown in Base64. */
const textOf = (content: string | Uint8Array): string =>
  typeof content === 'string' ? content : Buffer.from(content).toString('base64');
