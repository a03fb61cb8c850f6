import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { bundle, entryPoints } from '../../cross/bundle.ts';
import { packageParts } from '../../cross/package-parts.ts';
import { bundleUnits, unitBundle } from '../../cross/unit-bundle.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { recordingTerminal } from '../support/recording-terminal.ts';

const root = path.join(import.meta.dirname, '../..');
const nodeModules = path.join(root, 'node_modules');

describe('the parts of a bundle', () => {
  let directory: string;
  let device: ReadonlyMap<string, Uint8Array>;
  let operator: ReadonlyMap<string, Uint8Array>;
  let deviceLibraries: readonly string[];
  let operatorLibraries: readonly string[];

  beforeAll(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'wherry-parts-'));
    const programs = await bundle({ root, nodeModules, entries: entryPoints, version: '1.2.3' });
    const units = await bundleUnits({ root, nodeModules, version: '1.2.3' });
    const parts = packageParts(programs, Object.keys(entryPoints));
    ({ files: device, npmPackages: deviceLibraries } = parts.device);
    ({ files: operator, npmPackages: operatorLibraries } = parts.operator);
    expect(device.size + operator.size).toBe(programs.files.size);
    const write = async (name: string, files: ReadonlyMap<string, Uint8Array>) => {
      await mkdir(path.join(directory, name));
      await writeFile(path.join(directory, name, 'package.json'), '{"type":"commonjs"}');
      for (const [file, bytes] of files) await writeFile(path.join(directory, name, file), bytes);
      await writeFile(path.join(directory, name, unitBundle), units.bytes);
    };
    await write('device', device);
    await write('both', new Map([...device, ...operator]));
  });
  afterAll(() => rm(directory, { recursive: true }));

  /** Runs the command from the files of one or both packages. */
  const wherry = async (place: string, ...args: string[]) =>
    await new Promise<{ status: unknown; out: string; err: string }>((resolve) => {
      execFile(
        process.execPath,
        [path.join(directory, place, 'wherry.js'), ...args],
        { env: { ...process.env, WHERRY_FLEET: path.join(directory, 'no-fleet') } },
        (error, out, err) => resolve({ status: error === null ? 0 : error.code, out, err }),
      );
    });

  /** The files that a file imports, late or early. */
  const named = (bytes: Uint8Array | undefined) =>
    [
      ...Buffer.from(bytes ?? [])
        .toString()
        .matchAll(/"\.\/((?:chunk|operator)-\w+\.js)"/g),
    ].map(([, name = '']) => name);

  it('are closed: programs of the device reach the other part only by commands of operators', () => {
    const fromDevice = [...device].flatMap(([name, bytes]) => named(bytes).map((to) => [name, to] as const));
    const out = fromDevice.filter(([, to]) => !device.has(to));
    expect(fromDevice.length).toBeGreaterThan(100);
    expect(out.every(([, to]) => operator.has(to))).toBe(true);
    const doors = new Set(out.map(([from]) => from));
    for (const program of ['wherryd.js', 'wherry-api.js']) expect(doors).not.toContain(program);
    expect(doors).toContain('wherry.js');
    for (const [name, bytes] of operator) {
      expect(name).toMatch(/^operator-[A-Z0-9]{8}\.js$/);
      for (const to of named(bytes)) expect(device.has(to) || operator.has(to)).toBe(true);
    }
  });

  it('keep the libraries of operators out of the part of the device', () => {
    for (const library of ['htmlparser2', 'js-yaml', 'libsql', 'pg', 'pg-protocol', 'tar-stream']) {
      expect(operatorLibraries).toContain(library);
      expect(deviceLibraries).not.toContain(library);
    }
    expect(deviceLibraries).toContain('mqtt');
    expect(operatorLibraries).not.toContain('mqtt');
  });

  it.each([
    ['wherry deploy', ['deploy', 'crane-7', '--stop-all']],
    ['this use of wherry image verify', ['image', 'verify', 'x.aci']],
    ['this use of wherry trust add', ['trust', 'add', '--root', '--discover', 'no name']],
  ])('[C208] make %s name the package that is missing', async (what, args) => {
    const message = `${what} is not installed here: install the package wherry-operator 1.2.3`;
    expect(await wherry('device', ...args, '--json')).toEqual({
      status: 70,
      out: `${JSON.stringify({ error: { code: 'device-unsupported', message } })}\n`,
      err: `wherry: ${message} (device-unsupported)\n`,
    });
  });

  it('work together', async () => {
    const { status, err } = await wherry('both', 'trust', 'add', '--root', '--discover', 'no name');
    expect({ status, err }).toEqual({ status: 64, err: expect.stringContaining('no name') as string });
  });

  it('[C208] print the same message for a package of another version', async () => {
    await cp(path.join(directory, 'both'), path.join(directory, 'mixed'), { recursive: true });
    const late = named(device.get('wherry.js')).filter((to) => operator.has(to));
    const inner = [...new Set(late.flatMap((name) => named(operator.get(name))))].filter((to) =>
      operator.has(to),
    );
    expect(inner.length).toBeGreaterThan(0);
    for (const name of inner) await rm(path.join(directory, 'mixed', name), { force: true });
    expect((await wherry('mixed', 'deploy', 'crane-7', '--stop-all')).err).toBe(
      'wherry: wherry deploy is not installed here: install the package wherry-operator 1.2.3 (device-unsupported)\n',
    );
  });

  it('do not hide a damaged package of the device', async () => {
    await cp(path.join(directory, 'device'), path.join(directory, 'damaged'), { recursive: true });
    for (const name of await readdir(path.join(directory, 'damaged'))) {
      if (name.startsWith('chunk-') && !named(device.get('wherry.js')).includes(name)) continue;
      if (name.startsWith('chunk-')) await rm(path.join(directory, 'damaged', name));
    }
    const { err } = await wherry('damaged', 'lock', 'list');
    expect(err).toContain('Cannot find module');
    expect(err).not.toContain('wherry-operator');
  });

  it('are the same for the program as for its help', async () => {
    const program = buildProgram(recordingTerminal().terminal, () => {
      throw new Error('help needs no context');
    });
    type Listed = typeof program;
    const leaves = (one: Listed): Listed[] =>
      one.commands.length === 0 ? [one] : one.commands.flatMap(leaves);
    const marked = leaves(program).filter((one) => one.helpGroup().startsWith('For an operator'));
    const syntax = path.join(root, 'src/cli/syntax');
    const sources = await Promise.all(
      (await readdir(syntax)).map((name) => readFile(path.join(syntax, name))),
    );
    const loads = sources.join('\n').match(/import\('\.\.\/commands\/(?:operator|controller)\//g) ?? [];
    // "image verify" imports one of two files; five commands of "rollout" share a line.
    expect(marked.length).toBe(loads.length - 1 + 4);
    expect(marked.map((one) => one.name())).toContain('deploy');
  });
});

describe('a program of the device that imports the operator’s code early', () => {
  it('fails the build with the name of the file', async () => {
    const fixture = await mkdtemp(path.join(tmpdir(), 'wherry-stray-'));
    try {
      await mkdir(path.join(fixture, 'src/operator'), { recursive: true });
      await writeFile(
        path.join(fixture, 'src/operator/sign.ts'),
        `export const sign = () => console.log(1);`,
      );
      await writeFile(
        path.join(fixture, 'early.ts'),
        `import { sign } from './src/operator/sign.ts';\nsign();`,
      );
      await writeFile(
        path.join(fixture, 'late.ts'),
        `void import('./src/operator/sign.ts').then((m) => m.sign());`,
      );
      const of = async (name: string) =>
        packageParts(
          await bundle({ root: fixture, nodeModules, entries: { [name]: `${name}.ts` }, version: '1' }),
          [name],
        );
      expect([...(await of('late')).device.files.keys()]).not.toContainEqual(
        expect.stringMatching(/^operator/),
      );
      await expect(of('early')).rejects.toThrow(
        'A program of the device imports src/operator/sign.ts; it may only with import(), late.',
      );
    } finally {
      await rm(fixture, { recursive: true });
    }
  });
});
