import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { defaultArchiveLimits } from '../../src/image/tar/limits.ts';
import type { FramedEntry } from '../../src/image/tar/tar-framing.ts';
import { inspectArchive } from '../../src/image/aci/inspect.ts';
import { walkTar } from '../../src/image/aci/walk-archive.ts';
import { renderImage } from '../../src/operator/build/render.ts';
import { source } from '../support/raw-tar.ts';
import type { BuiltImage, Scene } from './scene.ts';

/**
 * What the runtime adds to every app's tree, and the directories that it creates if they are
 * missing.
 */
const ofRuntime = /^(dev|proc|sys|etc\/hosts|etc\/resolv\.conf)(\/|$)/;

/**
 * A tree as one line for each name: type, mode, owner, time, target, attributes, digest of the
 * content, and all hard links of the file. The root and `/etc` are left out because the runtime
 * writes to them.
 */
class TreeLines {
  readonly #lines = new Map<string, string>();
  readonly #names = new Map<string, string[]>();

  async add(path: string, entry: FramedEntry, body: AsyncIterable<Buffer>): Promise<void> {
    if (path === '' || path === 'etc' || ofRuntime.test(path)) return;
    if (entry.type === 'link') {
      const target = entry.linkname.replace(/^(\.\/|rootfs\/)/, '');
      this.#names.get(target)?.push(path);
      return;
    }
    const { type, mode, uid, gid, mtime, linkname, xattrs } = entry;
    const hash = createHash('sha256');
    for await (const chunk of body) hash.update(chunk);
    const attributes = xattrs.map(({ name, value }) => `${name}=${value.toString('hex')}`).sort();
    const said = [type, mode.toString(8), `${uid}:${gid}`, mtime, linkname, attributes.join(' ')];
    this.#lines.set(path, [...said, type === 'file' ? hash.digest('hex').slice(0, 16) : ''].join(' '));
    this.#names.set(path, [path]);
  }

  get lines(): readonly string[] {
    return [...this.#lines]
      .flatMap(([path, line]) => {
        const names = (this.#names.get(path) ?? []).sort();
        return names.map((name) => `${name}\t${line} ${names.length > 1 ? names.join(',') : ''}`);
      })
      .sort();
  }
}

/** The tree as the first app of the first pod sees it. */
export async function treeOfApp(scene: Scene): Promise<readonly string[]> {
  const report = await scene.report(({ pods }) => pods[0]?.healthy === true);
  const pid = report.pods[0]?.apps[0]?.pid ?? 0;
  const packed = await scene.board.check(
    `tar -c --format=posix --xattrs --xattrs-include='*' --numeric-owner --exclude=./dev --exclude=./proc --exclude=./sys \\
      -C /proc/${pid}/root . | gzip -1 | base64 -w0`,
  );
  const tree = new TreeLines();
  await walkTar(source(Buffer.from(packed, 'base64')), defaultArchiveLimits, {
    onTar: () => undefined,
    visit: (entry, body) => tree.add(entry.name.replace(/^\.\/|\/$/g, '').replace(/\/$/, ''), entry, body),
  });
  return tree.lines;
}

/** The tree that `wherry image render` creates for the first of these images. */
export async function treeOfRender(
  images: readonly BuiltImage[],
  output: string,
): Promise<readonly string[]> {
  const files = await Promise.all(
    images.map(async ({ path, id, sizeBytes }) => {
      const { manifest } = await inspectArchive(createReadStream(path), defaultArchiveLimits);
      return { path, id, sizeBytes, manifest };
    }),
  );
  const [image] = files;
  if (image === undefined) throw new Error('no image');
  await renderImage({ image, among: files, output, compression: 'none' });
  const tree = new TreeLines();
  await walkTar(createReadStream(output), defaultArchiveLimits, {
    onTar: () => undefined,
    visit: async (entry, body) => {
      const path = entry.name.replace(/\/$/, '');
      if (path.startsWith('rootfs/')) await tree.add(path.slice('rootfs/'.length), entry, body);
    },
  });
  return tree.lines;
}
