import { createHash } from 'node:crypto';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { extract } from 'tar-stream';
import { type ArchiveLimits, quoted } from '../../image/tar/index.ts';
import { isRefusal, localErrorOf, Refusal, unreadableFile } from '../../core/refusal/index.ts';
import { readInput } from '../build/index.ts';
import type { BlobSource } from './blobs.ts';
import { uncompressed } from './uncompressed.ts';
import { chooseByName, severalImages, splitName } from './image-names.ts';
import { isDigest, maxDocumentBytes, parseSavedImages } from './documents.ts';
import { indexOfRefs } from './refs.ts';

/**
 * Files in an archive of images: blobs, and a few documents. Their bytes are limited separately.
 */
const maxArchiveFiles = 65_536;
/** Files below refs/, each of which is read. */
const maxNames = 1024;

/**
 * An OCI image layout in a directory (image-spec, image-layout.md).
 * @param wanted the name of one image, when the index has several
 * @throws Refusal `not-found`, `input-invalid`
 */
export async function openLayout(directory: string, wanted: string | undefined): Promise<BlobSource> {
  const marker = await readSmall(join(directory, 'oci-layout')).catch(() => undefined);
  if (marker === undefined) {
    const advice = existsSync(join(directory, 'manifest.json'))
      ? '; if "docker save" wrote its files, pack them again: tar -C DIR -cf FILE .'
      : '';
    throw new Refusal(
      'input-invalid',
      `${directory} is not an OCI image layout: it has no file oci-layout${advice}`,
    );
  }
  return {
    reference: directory,
    ...(wanted === undefined ? {} : { wanted }),
    root: async () => {
      const refs = existsSync(join(directory, 'index.json')) ? [] : await namesIn(join(directory, 'refs'));
      return refs.length === 0
        ? { bytes: await readSmall(join(directory, 'index.json')), what: `${directory}/index.json` }
        : await rootOfRefs(directory, refs, (name) => join(directory, 'refs', name));
    },
    open: (digest) => {
      if (!isDigest(digest)) throw new Error(`${digest} is not a digest`);
      return openBlob(join(directory, 'blobs', ...digest.split(':')), directory, digest);
    },
    close: () => Promise.resolve(),
  };
}

/**
 * An archive of images: an OCI layout in a tar, or what `docker save` writes, compressed as a whole
 * or not. It is unpacked into `scratch`, under names that only this function chooses.
 */
export async function openArchive(
  file: string,
  scratch: string,
  wanted: string | undefined,
  limits: ArchiveLimits,
): Promise<BlobSource> {
  const files = await unpack(file, scratch, limits);
  const path = (name: string): string => {
    const found = files.get(name);
    if (found === undefined) throw new Refusal('input-invalid', `${file}: it has no ${quoted(name)}`);
    return found;
  };
  const close = () => rm(scratch, { recursive: true, force: true });
  const refs = [...files.keys()].filter((name) => /^refs\/[^/]+$/.test(name)).map((name) => basename(name));
  if (files.has('index.json') || (files.has('oci-layout') && refs.length > 0)) {
    return {
      reference: file,
      ...(wanted === undefined ? {} : { wanted }),
      root: async () =>
        files.has('index.json')
          ? { bytes: await readSmall(path('index.json')), what: `${file}, index.json` }
          : await rootOfRefs(file, refs, (name) => path(`refs/${name}`)),
      open: (digest) => openBlob(path(`blobs/${digest.replace(':', '/')}`), file, digest),
      close,
    };
  }
  if (!files.has('manifest.json')) {
    await close();
    throw new Refusal(
      'input-invalid',
      `${file} is not an archive of images: it has neither index.json nor manifest.json at its top; unpack a tar of files, such as one of "docker export", and give the directory to "wherry image build"`,
    );
  }
  return await savedImage(file, path, wanted, close);
}

async function namesIn(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
    .sort();
}

async function rootOfRefs(reference: string, names: readonly string[], path: (name: string) => string) {
  if (names.length > maxNames)
    throw new Refusal('input-invalid', `${reference}: it has more than ${maxNames} names below refs/`);
  const refs = new Map<string, Buffer>();
  for (const name of names) refs.set(name, await readSmall(path(name)));
  return { bytes: indexOfRefs(refs, reference), what: `${reference}, refs` };
}

/**
 * The format that `docker save` wrote before OCI layouts: images have tags, and layers are
 * identified by their uncompressed digests.
 */
async function savedImage(
  file: string,
  path: (name: string) => string,
  wanted: string | undefined,
  close: () => Promise<void>,
): Promise<BlobSource> {
  const saved = parseSavedImages(await readSmall(path('manifest.json')));
  const images = await Promise.all(
    saved.map(async (one) => ({
      ...one,
      names: one.repoTags,
      digest: `sha256:${await sha256(path(one.config))}`,
    })),
  );
  // One image may have several names, and the operator may use any of them.
  const named = images.flatMap((one) =>
    one.names.length === 0 ? [one] : one.names.map((name) => ({ ...one, names: [name] })),
  );
  const chosen = chooseByName(named, wanted, file);
  const [image] = chosen;
  // Such an archive does not name the platform of an image, so one name has one image.
  if (chosen.some(({ digest }) => digest !== image?.digest)) throw severalImages(chosen, file);
  if (image === undefined) throw new Refusal('not-found', `${file}: it has no image`);
  const blobs = new Map<string, string>();
  const describe = async (name: string): Promise<object> => {
    const digest = `sha256:${await sha256(path(name))}`;
    blobs.set(digest, path(name));
    return { digest, size: (await stat(path(name))).size };
  };
  const manifest = {
    schemaVersion: 2,
    config: await describe(image.config),
    layers: await Promise.all(image.layers.map(describe)),
  };
  const [name, found] = splitName(image.names[0] ?? '');
  return {
    reference: file,
    ...(name === '' ? {} : { name }),
    ...(found === undefined ? {} : { tag: found }),
    root: () =>
      Promise.resolve({ bytes: Buffer.from(JSON.stringify(manifest)), what: `${file}, manifest.json` }),
    open: (digest) => {
      const blob = blobs.get(digest);
      if (blob === undefined) throw new Error(`${digest} is not in the manifest`);
      return openBlob(blob, file, digest);
    },
    close,
  };
}

/**
 * Puts the regular files of a tar into `scratch` under numbers; returns number paths by name, links
 * resolved.
 */
async function unpack(
  file: string,
  scratch: string,
  limits: ArchiveLimits,
): Promise<ReadonlyMap<string, string>> {
  await mkdir(scratch, { recursive: true, mode: 0o700 });
  const files = new Map<string, string>();
  const links = new Map<string, string>();
  let count = 0;
  let isTar = false;
  const archive = extract();
  const reading = pipeline(uncompressed(readInput(file), limits), archive).catch((error: unknown) => error);
  try {
    for await (const entry of archive) {
      isTar = true;
      const name = entry.header.name.replace(/^\.\//, '');
      if (entry.header.type === 'file') {
        if (count >= maxArchiveFiles)
          throw new Refusal('archive-too-large', `${file}: it has more than ${maxArchiveFiles} files`);
        // Of two files with one name the later one counts, as when a tar is unpacked.
        const path = join(scratch, String(count++));
        await pipeline(entry, createWriteStream(path, { flags: 'wx', mode: 0o600 }));
        files.set(name, path);
      } else {
        // `docker save` links layers that images share.
        if (entry.header.type === 'symlink') links.set(name, join(dirname(name), entry.header.linkname));
        if (entry.header.type === 'link') links.set(name, entry.header.linkname);
        entry.resume();
      }
    }
  } catch (cause) {
    if (localErrorOf(cause) !== undefined) throw cause;
    throw unreadable(file, isTar, isRefusal(cause) ? cause : ((await reading) ?? cause));
  }
  const failure = await reading;
  if (failure instanceof Error) throw unreadable(file, isTar, failure);
  for (const [name, target] of links) {
    const found = files.get(target);
    if (found !== undefined) files.set(name, found);
  }
  return files;
}

/** A refusal with the reason, if it is known. */
function unreadable(file: string, isTar: boolean, cause: unknown): Refusal {
  if (!isRefusal(cause) && isTar)
    return new Refusal('archive-malformed', `${file}: the tar is damaged or cut off`, { cause });
  if (!isRefusal(cause))
    return new Refusal('input-invalid', `${file} is neither a tar nor a compressed one`, { cause });
  if (cause.message.startsWith(file)) return cause;
  return new Refusal(cause.code, `${file}: ${cause.message}`, { cause });
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of readInput(path)) hash.update(chunk);
  return hash.digest('hex');
}

/** @throws Refusal `not-found` when there is no such file */
async function openBlob(path: string, reference: string, digest: string): Promise<AsyncIterable<Uint8Array>> {
  const status = await stat(path).catch(() => undefined);
  if (status?.isFile() !== true) {
    throw new Refusal('not-found', `${reference}: it has no blob ${digest.slice(0, 19)}`);
  }
  return readInput(path);
}

async function readSmall(path: string): Promise<Buffer> {
  const handle = await open(path, 'r').catch((cause: unknown) => {
    throw unreadableFile(path, cause);
  });
  try {
    const { size } = await handle.stat();
    if (size > maxDocumentBytes) {
      throw new Refusal(
        'input-invalid',
        `${basename(path)} has ${size} bytes; the limit is ${maxDocumentBytes}`,
      );
    }
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}
