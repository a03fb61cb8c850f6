import { spawn, spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bundleUnits } from '../../cross/unit-bundle.ts';

const root = path.join(import.meta.dirname, '../..');
const script = path.join(root, 'cross/debian/snapshot');
const options = ['--jitless', '--max-old-space-size=48'];

let directory = '';
let program = '';
const at = (name: string): string => path.join(directory, name);

/** Runs the script as a unit does. */
function snapshot(act: 'run' | 'make', argument: readonly string[] = [], more: readonly string[] = []) {
  const args = [script, act, process.execPath, ...options, ...more, program, ...argument];
  const { status, stderr } = spawnSync('sh', args, {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], WHERRY_SNAPSHOTS: at('snapshots'), WHERRY_MISFITS: at('misfits') },
  });
  const lines = stderr.split('\n').filter((line) => line !== '' && !line.includes('--expose_wasm'));
  return { status, lines };
}

/** What a repair of the file system may leave. */
function asDirectory(name: string): void {
  rmSync(at(name));
  mkdirSync(at(name));
}

const fallback = [
  expect.stringMatching(/^(?:<4>|<6>(?=.* is not there;))the startup snapshot .*; running from the bundle$/),
];

beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'wherry-snapshot-'));
  program = at('unit-programs.cjs');
  const { bytes } = await bundleUnits({
    root,
    nodeModules: path.join(root, 'node_modules'),
    version: '1.2.3',
  });
  writeFileSync(program, bytes);
});
afterAll(() => rmSync(directory, { recursive: true }));
beforeEach(() => {
  for (const name of ['snapshots', 'misfits']) rmSync(at(name), { recursive: true, force: true });
  for (const name of ['snapshots', 'misfits']) mkdirSync(at(name));
});

describe('the startup snapshot of the units', () => {
  it('runs a program without a message', () => {
    expect(snapshot('make')).toMatchObject({ status: 0 });
    expect(snapshot('run', ['probe'])).toEqual({ status: 0, lines: [] });
    expect(readdirSync(at('misfits'))).toEqual([]);
  });

  it('reports the failure of a program like the bundle', () => {
    snapshot('make');
    const { status, lines } = snapshot('run', ['pull', 'No job']);
    expect(status).toBe(1);
    expect(lines[0]).toContain('<3>Error: "No job" is not the name of a job');
  });

  it.each<[string, () => void, readonly string[]]>([
    ['is not there', () => rmSync(at('snapshots/units.blob')), []],
    ['is cut off', () => truncateSync(at('snapshots/units.blob'), 100_000), []],
    ['is a directory', () => asDirectory('snapshots/units.blob'), []],
    ['has a directory as its key', () => asDirectory('snapshots/units.key'), []],
    ['is of another program or Node', () => writeFileSync(program, `${readFileSync(program, 'utf8')}\n`), []],
    ['is of other options', () => undefined, ['--no-lazy']],
  ])('that %s is replaced by the bundle, with one line and a mark, and made again', (_, spoil, more) => {
    snapshot('make');
    spoil();
    expect(snapshot('run', ['probe'], more)).toEqual({ status: 0, lines: fallback });
    expect(readdirSync(at('misfits'))).toEqual(['units']);
    expect(snapshot('make', [], more)).toMatchObject({ status: 0 });
    expect(snapshot('run', ['probe'], more)).toEqual({ status: 0, lines: [] });
    expect(readdirSync(at('misfits'))).toEqual([]);
  });

  it('that Node refuses, as for another processor, is replaced by the bundle', () => {
    snapshot('make', [], ['--no-lazy']);
    // The key fits these options, the blob does not.
    const key = readFileSync(at('snapshots/units.key'), 'utf8').replace(' --no-lazy', '');
    writeFileSync(at('snapshots/units.key'), key);
    const { status, lines } = snapshot('run', ['probe']);
    expect(status).toBe(0);
    expect(lines.at(-1)).toMatch(/cannot be used, Node ended with status 14; running from the bundle$/);
    snapshot('make');
    expect(snapshot('run', ['probe'])).toEqual({ status: 0, lines: [] });
  });

  it('uses the bundle if the unit may not write a mark', () => {
    rmSync(at('misfits'), { recursive: true });
    expect(snapshot('run', ['probe'])).toEqual({ status: 0, lines: fallback });
  });

  it('is made without compiled functions if Node cannot serialize them', () => {
    const node = at('picky-node');
    const lines = [
      '#!/bin/sh',
      'case "$*" in *--build-snapshot*warm) exit 133 ;; esac',
      `exec ${process.execPath} "$@"`,
    ];
    writeFileSync(node, `${lines.join('\n')}\n`, { mode: 0o755 });
    const as = (act: string, argument: readonly string[]) =>
      spawnSync('sh', [script, act, node, ...options, program, ...argument], {
        encoding: 'utf8',
        env: { PATH: process.env['PATH'], WHERRY_SNAPSHOTS: at('snapshots'), WHERRY_MISFITS: at('misfits') },
      });
    expect(as('make', []).stderr).toMatch(/^made the startup snapshot/);
    expect(as('run', ['probe'])).toMatchObject({ status: 0 });
    expect(readdirSync(at('misfits'))).toEqual([]);
  });

  it('that cannot be written is not a failure', () => {
    rmSync(at('snapshots'), { recursive: true });
    writeFileSync(at('snapshots'), 'a file'); // root may write to any directory
    expect(snapshot('make')).toMatchObject({
      status: 0,
      lines: [
        expect.stringMatching(/^<4>the startup snapshot .* cannot be made; programs run from the bundle/),
      ],
    });
    expect(snapshot('run', ['probe'])).toEqual({ status: 0, lines: fallback });
  });

  it('forwards SIGTERM to the program, and ends with its status', async () => {
    // Instead of Node, a program that reports its start and its end.
    const node = at('node');
    const lines = [
      '#!/bin/sh',
      'case "$*" in *--build-snapshot*) echo blob >"$2" && exit ;; *probe) exit ;; esac',
      'trap "exit 7" TERM',
      'echo runs',
      'while :; do sleep 0.1; done',
    ];
    writeFileSync(node, `${lines.join('\n')}\n`, { mode: 0o755 });
    const env = {
      PATH: process.env['PATH'],
      WHERRY_SNAPSHOTS: at('snapshots'),
      WHERRY_MISFITS: at('misfits'),
    };
    expect(spawnSync('sh', [script, 'make', node, program], { env }).status).toBe(0);
    const child = spawn('sh', [script, 'run', node, program, 'pull', 'job'], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    await new Promise((resolve) => child.stdout.once('data', resolve));
    child.kill('SIGTERM');
    expect(await ended).toBe(7);
  });
});
