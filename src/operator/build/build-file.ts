import { isUtf8 } from 'node:buffer';
import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { parse, TomlError } from 'smol-toml';
import { maxAccountId, parseImageManifest } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import {
  type LeaveOut,
  type LeftOut,
  type Directory,
  emptyTree,
  overlay,
  sourceEntries,
  TreeOfArchive,
  readSourceTree,
} from '../../image/tree/index.ts';
import { writeAci, type BuiltArchive } from './builder.ts';
import { quoted, impliedDirectory, type TarEntry } from '../../image/tar/index.ts';
import { withSpooledTrees } from './spooled-trees.ts';
import { readXattrs } from './tree-xattrs.ts';

/**
 * A build file lists the parts of an image. Paths are relative to the file. Later parts overlay
 * earlier ones.
 *
 * ```toml
 * base = ["base.aci"]              # images whose files are taken, the lowest first
 *
 * [manifest]                       # the image manifest; acKind and acVersion may be left out
 * name = "example.com/web"
 * labels = [{ name = "arch", value = "aarch64" }]
 * app = { exec = ["/bin/web"], user = "33", group = "33" }
 *
 * [[put]]
 * from = "site"                    # a file or a directory
 * to = "/srv/www"
 * mode = "0644"                    # of a file
 * owner = "33:33"                  # uid:gid of all of it; 0:0 if left out
 *
 * [[put]]
 * to = "/bin/sh"
 * link = "busybox"                 # a symbolic link
 *
 * [[put]]
 * to = "/var/lib/web"
 * directory = true
 * mode = "0750"
 * ```
 */
export interface BuildFileOptions {
  readonly path: string;
  readonly output: string;
  readonly compression: 'gzip' | 'none';
  /** SOURCE_DATE_EPOCH: seconds since 1970; later times are set back to it. */
  readonly latest?: number;
  /**
   * Which files of the directories do not belong in the image; a secret that a part names itself is
   * refused.
   */
  readonly leaveOut?: LeaveOut;
}

/**
 * @throws Refusal `input-invalid` that names file, key and rule; as `readArchive` and `writeAci`
 */
export async function buildFromFile(
  options: BuildFileOptions,
): Promise<Omit<BuiltArchive, 'skipped'> & { readonly leftOut: readonly LeftOut[] }> {
  const { path, output, compression } = options;
  const file = await readBuildFile(path);
  const here = dirname(resolve(path));
  // Before the spool exists: it is beside the output, which may be in a directory read here.
  const added: Awaited<ReturnType<typeof treeOf>>[] = [];
  for (const put of file.put) added.push(await treeOf(put, here, options));
  return await withSpooledTrees(output, async (trees) => {
    let tree = emptyTree;
    for (const base of file.base) tree = overlay(tree, await trees.treeOf(resolve(here, base)));
    for (const put of added) tree = overlay(tree, put.tree);
    const built = await writeAci({
      manifest: file.manifest,
      entries: sourceEntries(tree),
      ...{ output, compression },
    });
    return { ...built, leftOut: added.flatMap(({ leftOut }) => leftOut) };
  });
}

interface Put {
  readonly to: string;
  readonly what:
    | { readonly kind: 'from'; readonly from: string; readonly mode?: number }
    | { readonly kind: 'link'; readonly link: string }
    | { readonly kind: 'directory'; readonly mode: number };
  readonly owner: { readonly uid: number; readonly gid: number };
}

interface BuildFile {
  readonly base: readonly string[];
  readonly manifest: Uint8Array;
  readonly put: readonly Put[];
}

async function readBuildFile(path: string): Promise<BuildFile> {
  let table: Record<string, unknown>;
  const bytes = await readFile(path);
  if (!isUtf8(bytes)) throw new Refusal('input-invalid', `${path} is not a build file: it is not UTF-8`);
  try {
    table = parse(bytes.toString());
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    throw new Refusal(
      'input-invalid',
      `${path} is not a build file: line ${cause.line}: ${cause.message.split('\n')[0]}`,
      {
        cause,
      },
    );
  }
  const wrong = (at: string, problem: string) => new Refusal('input-invalid', `${path}: ${at}: ${problem}`);
  refuseUnknown(table, ['base', 'manifest', 'put'], (key) => wrong(key, 'this key is not known'));
  const { base = [], manifest, put = [] } = table;
  if (!isTexts(base)) throw wrong('base', 'expected a list of files');
  if (!isTable(manifest)) throw wrong('manifest', 'expected a table with the keys of an image manifest');
  if (!Array.isArray(put)) throw wrong('put', 'expected [[put]]');
  const json = { acKind: 'ImageManifest', acVersion: '0.8.11', ...manifest };
  const manifestBytes = Buffer.from(JSON.stringify(json));
  parseImageManifest(manifestBytes);
  return {
    base,
    manifest: manifestBytes,
    put: put.map((one: unknown, index) => readPut(one, (problem) => wrong(`put ${index + 1}`, problem))),
  };
}

function readPut(table: unknown, wrong: (problem: string) => Refusal): Put {
  if (!isTable(table)) throw wrong('expected a table');
  refuseUnknown(table, ['from', 'to', 'link', 'directory', 'mode', 'owner'], (key) =>
    wrong(`the key ${key} is not known`),
  );
  const { from, to, link, directory, mode, owner = '0:0' } = table;
  const isPlain =
    typeof to === 'string' &&
    /^(\/[^/\0]+)+$/.test(to) &&
    !to.split('/').some((name) => name === '.' || name === '..');
  if (!isPlain) throw wrong('to: expected a plain absolute path');
  const [, uid, gid] = /^(\d{1,10}):(\d{1,10})$/.exec(typeof owner === 'string' ? owner : '') ?? [];
  if (uid === undefined || gid === undefined || Math.max(Number(uid), Number(gid)) > maxAccountId) {
    throw wrong(`owner: expected "UID:GID" with numbers up to ${maxAccountId}`);
  }
  if (mode !== undefined && !(typeof mode === 'string' && /^[0-7]{3,4}$/.test(mode))) {
    throw wrong('mode: expected octal digits in quotes, such as "0755"');
  }
  const bits = mode === undefined ? undefined : parseInt(mode, 8);
  const base = { to, owner: { uid: Number(uid), gid: Number(gid) } };
  if ([from, link, directory].filter((one) => one !== undefined).length !== 1) {
    throw wrong('expected one of from, link and directory');
  }
  if (typeof from === 'string') {
    return { ...base, what: { kind: 'from', from, ...(bits === undefined ? {} : { mode: bits }) } };
  }
  if (typeof link === 'string' && link !== '' && bits === undefined) {
    return { ...base, what: { kind: 'link', link } };
  }
  if (directory === true) return { ...base, what: { kind: 'directory', mode: bits ?? 0o755 } };
  throw wrong('expected from or link with a path (a link has no mode), or directory = true');
}

/** The files that one part adds, as a separate tree. */
async function treeOf(
  { to, what, owner }: Put,
  here: string,
  { latest, leaveOut }: Pick<BuildFileOptions, 'latest' | 'leaveOut'>,
): Promise<{ readonly tree: Directory; readonly leftOut: readonly LeftOut[] }> {
  let leftOut: readonly LeftOut[] = [];
  const tree = new TreeOfArchive();
  const base: TarEntry = { ...impliedDirectory(`rootfs${to}`), ...owner, mtime: latest ?? 0 };
  if (what.kind === 'link') tree.add({ ...base, type: 'symlink', mode: 0o777, target: what.link });
  else if (what.kind === 'directory') tree.add({ ...base, mode: what.mode });
  else {
    const file = resolve(here, what.from);
    const status = await stat(file).catch((cause: unknown) => {
      throw new Refusal('not-found', `there is no ${quoted(file)}`, { cause });
    });
    const found = await leaveOut?.(file, status);
    if (found?.isSecret === true) {
      throw new Refusal(
        'input-invalid',
        `put ${to}: ${quoted(file)} is ${found.what}; it does not belong in an image`,
      );
    }
    if (status.isDirectory()) {
      if (what.mode !== undefined) {
        throw new Refusal(
          'input-invalid',
          `put ${to}: mode is for a file; those of a directory keep their own`,
        );
      }
      const xattrs = await readXattrs(file);
      const source = await readSourceTree({ root: file, additions: [], owner, latest, xattrs, leaveOut });
      leftOut = source.leftOut.map(({ path, what: it }) => ({ path: `${to}${path}`, what: it }));
      const moved = (path: string) => `rootfs${to}${path.slice('rootfs'.length)}`;
      for (const { content, ...entry } of source.entries) {
        const target = entry.type === 'link' ? moved(entry.target) : entry.target;
        tree.add({ ...entry, path: moved(entry.path), target }, content);
      }
    } else {
      const mode = what.mode ?? status.mode & 0o7777;
      const mtime = Math.max(0, Math.min(Math.floor(status.mtimeMs / 1000), latest ?? Infinity));
      tree.add({ ...base, type: 'file', mode, mtime, sizeBytes: status.size }, { file });
    }
  }
  return { tree: tree.tree, leftOut };
}

function refuseUnknown(
  table: Record<string, unknown>,
  known: readonly string[],
  refusal: (key: string) => Refusal,
): void {
  const unknown = Object.keys(table).find((key) => !known.includes(key));
  if (unknown !== undefined) throw refusal(unknown);
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}
