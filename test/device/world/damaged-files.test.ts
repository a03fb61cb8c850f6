import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { CompiledPod } from '../../../src/device/pod/compiled-pod.ts';
import { nodeDisk } from '../../../src/device/store/node-disk.ts';
import { metadataKey } from '../../../src/device/world/metadata-key.ts';
import { PodFiles } from '../../../src/device/world/pod-files.ts';
import { imageIdOf } from '../deploy/ids.ts';

/** What a power cut, a failing disk, a repair of the file system or a person does to a file. */
const damages: Readonly<Record<string, (path: string, text: string) => void>> = {
  emptied: (path) => writeFileSync(path, ''),
  'cut in half': (path, text) => writeFileSync(path, text.slice(0, text.length / 2)),
  overwritten: (path, text) => writeFileSync(path, '\u0007'.repeat(text.length)),
  deleted: (path) => rmSync(path, { force: true }),
  'replaced by a directory': (path) => {
    rmSync(path, { force: true });
    mkdirSync(join(path, 'below'), { recursive: true });
  },
  'replaced by a dangling link': (path) => {
    rmSync(path, { force: true });
    symlinkSync('/nonexistent/file', path);
  },
};

const target = 'wherry-pods.target';

const pod: CompiledPod = {
  name: 'web',
  uuid: 'one',
  slice: 'wherry-pod-web.0123abcd.slice',
  services: [{ app: 'main', unit: 'wherry-pod-web.0123abcd-main.service', imageId: imageIdOf('main') }],
  mounts: ['run-wherry-images-0.mount'],
  units: [
    { name: 'run-wherry-images-0.mount', text: '[Mount]\nWhat=/a\n' },
    { name: 'wherry-pod-web.0123abcd.slice', text: '[Slice]\nMemoryMax=1M\n' },
    { name: 'wherry-pod-web.0123abcd-main.service', text: '[Service]\nExecStart=/b\n' },
  ],
  files: [
    { path: 'apps/main/config.json', content: '{"process":{}}', mode: 0o600 },
    { path: 'start-app', content: '#!/bin/sh\nexec true\n', mode: 0o644 },
  ],
  directories: [],
  keptVolumes: [],
  limitedVolumes: [],
  sources: [],
  isolators: [],
  ports: { mapped: false, ports: [] },
};

/** The files of one pod that starts at boot, on the machine's disk. Each keeps its owner. */
async function written() {
  const root = mkdtempSync(join(tmpdir(), 'damaged-files-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const [pods, volumes, metadata, units, mounts] = ['pods', 'volumes', 'metadata', 'units', 'mounts'].map(
    (name) => join(root, name),
  ) as [string, string, string, string, string];
  const metadataKey = `${root}.metadata-key`; // not among the files below
  onTestFinished(() => rmSync(metadataKey, { recursive: true, force: true }));
  writeFileSync(metadataKey, 'key');
  const places = { pods, volumes, metadata, metadataKey, units, mounts, unitStates: `${root}.states` };
  /** Files that were given an owner and a mode. */
  const owned = new Set<string>();
  const own = (path: string) => Promise.resolve(void owned.add(path));
  const files = new PodFiles({ ...nodeDisk(), own }, places);
  const write = async () => {
    await files.write(pod, '{"manifest":""}');
    await files.enable([pod]);
  };
  await write();
  /** The text of every file. */
  const texts = () => {
    const names = readdirSync(root, { recursive: true, encoding: 'utf8' }).map((name) => join(root, name));
    return new Map(names.flatMap((path) => (isDirectory(path) ? [] : [[path, textAt(path)] as const])));
  };
  return { root, files, write, texts, owned, metadataKey };
}

describe.each(Object.entries(damages))('any file of a pod that is %s', (_, damage) => {
  it('is found, and never spoils a whole one [C310]', async () => {
    const { root, files, write, texts, owned } = await written();
    const whole = texts();
    expect(whole.size).toBeGreaterThan(2 * pod.units.length + pod.files.length);
    for (const [path, text] of whole) {
      // A link has no content.
      if (lstatSync(path).isSymbolicLink()) rmSync(path, { force: true });
      damage(path, text ?? '');
      owned.clear();
      // systemd reads its units again after its own file was restored, and not after a copy was.
      const isUnit = /\/units\/[^/]+\.(mount|slice|service)$/.test(path);
      expect(await files.repair(pod), path).toBe(isUnit && !path.includes('/pods/'));
      expect([...owned], path).toEqual(isUnit ? [path] : []);
      // The set that starts at boot is written at each start of wherryd.
      const left = [...whole].filter(([at, before]) => !at.includes(target) && textAt(at) !== before);
      expect(
        left.every(([at]) => at === path),
        path,
      ).toBe(true);
      expect(await files.damaged(pod), path).toEqual(left.map(([at]) => at));
      await write();
      expect(texts(), path.slice(root.length)).toEqual(whole);
    }
  });
});

describe.each(Object.entries(damages))('a metadata key that is %s', (_, damage) => {
  it('is found by each pod that uses the service, once until its files are written [C318]', async () => {
    const { files, write, metadataKey } = await written();
    damage(metadataKey, 'key');
    expect(await files.damaged(pod)).toEqual([metadataKey]);
    rmSync(metadataKey, { recursive: true, force: true });
    writeFileSync(metadataKey, 'new key');
    await write();
    expect(await files.damaged(pod)).toEqual([]);
  });

  it('is replaced and logged where pods use the service [C318]', async () => {
    const root = mkdtempSync(join(tmpdir(), 'metadata-key-'));
    onTestFinished(() => rmSync(root, { recursive: true }));
    const places = { metadataKey: join(root, 'key'), metadata: join(root, 'metadata') };
    const disk = { ...nodeDisk(), own: () => Promise.resolve() };
    const log: string[] = [];
    const journal = { log: (_: string, message: string) => void log.push(message) };
    let made = 0;
    const random = { bytes: (count: number) => Buffer.alloc(count, ++made), fraction: () => 0 };
    const key = () => metadataKey(disk, places, random, journal);
    const first = await key();
    expect(await key()).toEqual(first);
    mkdirSync(places.metadata);
    writeFileSync(join(places.metadata, 'one.json'), '');
    expect(log).toEqual([]);
    damage(places.metadataKey, 'k'.repeat(10));
    expect(await key()).not.toEqual(first);
    expect(await key()).toEqual(Buffer.alloc(64, 2));
    expect(log).toEqual([expect.stringMatching(/^.*\/key was missing or damaged and is a new key now: /)]);
  });
});

const isDirectory = (path: string): boolean => lstatSync(path).isDirectory();

/** Undefined for what is not a file. */
function textAt(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
