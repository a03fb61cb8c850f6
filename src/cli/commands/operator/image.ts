import { createReadStream, existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { statImage, writeOutput } from '../../../operator/build/index.ts';
import { inspectArchive, type ArchiveListing } from '../../../image/aci/index.ts';
import { defaultArchiveLimits } from '../../../image/tar/index.ts';
import { serializeImageManifest } from '../../../image/appc/index.ts';
import { FleetDirectory, readImageFile, requireSignature } from '../../../operator/fleet/index.ts';
import { isRefusal, refusalAt, unreadableFile } from '../../../core/refusal/index.ts';
import { addSignature, formatFingerprint, signDetached } from '../../../wire/trust/sign.ts';
import { signatureBlocks, signatureVerifier } from '../../../wire/trust/openpgp.ts';
import type { Context } from '../../context.ts';
import type { ImageSignFlags } from '../../flags.ts';
import { formatBytes, formatTable } from '../../format.ts';
import { readFleetKeys, readPublicKeys } from '../../key-files.ts';

/** `wherry image inspect` */
export async function inspectImage(
  context: Context,
  file: string,
  options: { readonly files?: true },
): Promise<void> {
  const image = await readImageFile(file);
  const manifest: unknown = JSON.parse(new TextDecoder().decode(serializeImageManifest(image.manifest)));
  const listing =
    options.files === true ? await inspectArchive(createReadStream(file), defaultArchiveLimits) : undefined;
  const { terminal } = context;
  if (context.json) {
    const { id, sizeBytes, tarSizeBytes, sha256 } = image;
    const files = listing?.list.map(({ path, type, mode, uid, gid, sizeBytes: bytes }) => {
      return { path, type, mode, uid, gid, sizeBytes: bytes };
    });
    terminal.out(JSON.stringify({ id, sizeBytes, tarSizeBytes, sha256, manifest, files }));
    return;
  }
  terminal.out(`image ID   ${image.id}`);
  terminal.out(`file       ${formatBytes(image.sizeBytes)}, ${formatBytes(image.tarSizeBytes)} uncompressed`);
  terminal.out(`SHA-256    ${image.sha256}`);
  terminal.out(`manifest   ${JSON.stringify(manifest, undefined, 2)}`);
  if (listing !== undefined) terminal.out(fileTable(context, listing));
}

function fileTable(context: Context, listing: ArchiveListing): string {
  const rows = listing.list.map(({ path, type, mode, uid, gid, sizeBytes, target }) => [
    type,
    mode.toString(8).padStart(4, '0'),
    `${uid}:${gid}`,
    type === 'file' ? formatBytes(sizeBytes) : '',
    // Names are the image's; what could steer a terminal is shown as an escape.
    `${printable(path)}${target === '' ? '' : ` -> ${printable(target)}`}`,
  ]);
  return formatTable(context.terminal, ['TYPE', 'MODE', 'OWNER', 'SIZE', 'PATH'], rows);
}

function printable(name: string): string {
  return name.replace(/\p{C}/gu, (character) => JSON.stringify(character).slice(1, -1));
}

/** `wherry image sign` */
export async function signImages(
  context: Context,
  files: readonly string[],
  options: ImageSignFlags,
): Promise<void> {
  const { path, key, copies } = await signingKey(context, options.key);
  const signed = [];
  for (const file of files) {
    // Refuses to sign an image that no device would accept.
    const image = await readImageFile(file);
    const atSeconds = Math.floor(context.clock.nowMs() / 1000);
    const signature = await signDetached(createReadStream(file), key, atSeconds, copies).catch(
      (error: unknown) => {
        throw isRefusal(error, 'input-invalid') ? refusalAt(path, error) : error;
      },
    );
    const text = options.add === true ? await withOthers(image.signaturePath, signature, key) : signature;
    signed.push({ file, signature: image.signaturePath, id: image.id, text });
  }
  // Nothing is written before all images were accepted.
  for (const { signature, text } of signed) {
    await writeOutput(signature, (path) => writeFile(path, text));
    if (!context.json) context.terminal.out(signature);
  }
  if (context.json) {
    const rows = signed.map(({ file, signature, id }) => ({ file, signature, id }));
    context.terminal.out(JSON.stringify(rows));
  }
}

/** The signature after those of other keys in the file. */
async function withOthers(path: string, signature: string, key: string): Promise<string> {
  const asc = existsSync(path)
    ? await readFile(path, 'latin1').catch((cause: unknown) => {
        throw unreadableFile(path, cause);
      })
    : '';
  return await addSignature(asc, signature, key).catch((error: unknown) => {
    throw refusalAt(path, error);
  });
}

/** `wherry image verify` */
export async function verifyImages(
  context: Context,
  files: readonly string[],
  options: { readonly key?: readonly string[] },
): Promise<void> {
  const keys =
    options.key === undefined
      ? await readFleetKeys(await FleetDirectory.open(context.fleetPath), 'images')
      : await readPublicKeys(options.key);
  const verified = [];
  for (const file of files) {
    // The signature first: an archive is not unpacked before a trusted key has signed it.
    const fingerprint = await signerOf(file, keys, Math.floor(context.clock.nowMs() / 1000));
    const image = await readImageFile(file);
    verified.push({ file, id: image.id, signedBy: fingerprint });
    if (!context.json) {
      context.terminal.out(
        `${file}: ${image.manifest.name}, signed by ${fingerprint.split(' ').map(formatFingerprint).join(', ')}`,
      );
    }
  }
  if (context.json) context.terminal.out(JSON.stringify(verified));
}

/**
 * The fingerprint of the key that signed the file; for several signatures, those of the keys that
 * count, separated by spaces. Refusals name the file.
 */
async function signerOf(file: string, keys: readonly string[], atSeconds: number): Promise<string> {
  await statImage(file);
  const signaturePath = `${file}.asc`;
  await requireSignature({ path: file, signaturePath });
  try {
    const time = { nowSeconds: atSeconds, clockTrusted: true };
    const asc = await readFile(signaturePath, 'latin1').catch((cause: unknown) => {
      throw unreadableFile('its signature', cause);
    });
    // Several are for devices with a root of trust, whose threshold is not known here.
    const threshold = signatureBlocks(asc).length > 1 ? 1 : undefined;
    const verifier = await signatureVerifier(asc, keys, time, [], threshold);
    for await (const chunk of createReadStream(file)) verifier.update(chunk as Buffer);
    return (await verifier.finish()).fingerprint;
  } catch (error) {
    throw refusalAt(file, error);
  }
}

/** The key to sign with, and copies of its public half, which may hold a revocation. */
async function signingKey(
  context: Context,
  path: string | undefined,
): Promise<{ readonly path: string; readonly key: string; readonly copies: readonly string[] }> {
  if (path !== undefined) {
    const key = await readFile(path, 'utf8').catch((cause: unknown) => {
      throw unreadableFile(`the key ${path}`, cause);
    });
    return { path, key, copies: [] };
  }
  const fleet = await FleetDirectory.open(context.fleetPath);
  return {
    path: fleet.keyPath('images', 'private'),
    key: await fleet.key('images', 'private'),
    copies: await fleet.copiesOf('images'),
  };
}
