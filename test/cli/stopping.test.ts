import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../qemu/free-port.ts';
import { wherry } from '../support/recording-terminal.ts';

const root = new URL('../..', import.meta.url).pathname;
let place = '';
const running: ChildProcess[] = [];
const servers: Server[] = [];

beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), 'wherry-stop-'));
  mkdirSync(join(place, 'tree/bin'), { recursive: true });
  writeFileSync(join(place, 'tree/bin/app'), 'app');
  symlinkSync('circle', join(place, 'circle'));
  mkdirSync(join(place, 'large'));
  writeFileSync(join(place, 'large/data'), '');
  // A sparse file: no disk is read, and the processor is busy for some ten seconds.
  truncateSync(join(place, 'large/data'), 700 * 2 ** 20);
});
afterEach(() => {
  for (const child of running.splice(0)) child.kill('SIGKILL');
  for (const server of servers.splice(0)) server.close();
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

/** Runs the real program in its own process. */
function start(...args: string[]): { child: ChildProcess; err: () => string } {
  return startWith({}, ...args);
}

function startWith(environment: NodeJS.ProcessEnv, ...args: string[]): ReturnType<typeof start> {
  const child = spawn(
    process.execPath,
    ['--import', join(root, 'node_modules/tsx/dist/esm/index.mjs'), join(root, 'src/cli/wherry.ts'), ...args],
    { cwd: place, env: { ...process.env, ...environment }, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  running.push(child);
  let said = '';
  child.stderr.on('data', (text: Buffer) => (said += text.toString()));
  return { child, err: () => said };
}

/** Resolves once `directory` contains a file. */
async function filled(directory: string): Promise<void> {
  const watcher = watch(directory);
  try {
    if (readdirSync(directory).length === 0) await once(watcher, 'change');
  } finally {
    watcher.close();
  }
}

async function statusOf(child: ChildProcess): Promise<unknown> {
  const [status, signal] = (await once(child, 'close')) as [number | null, string | null];
  return status ?? signal;
}

/** A port with a listener that sends nothing. */
async function silentPort(host = '127.0.0.1'): Promise<number> {
  const server = createServer();
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return (server.address() as AddressInfo).port;
}

/** An image of some files, sent through a pipe that never ends. */
async function endlessImage(name: string): Promise<string> {
  const tree = join(place, `tree-${name}`);
  mkdirSync(tree);
  for (const file of ['data', 'more']) writeFileSync(join(tree, file), Buffer.alloc(4 << 20, file));
  const [whole, part, pipe] = ['aci', 'part', 'pipe'].map((kind) => join(place, `${name}.${kind}`));
  const args = ['--name', 'example.com/a', '--compression', 'none', '-o', String(whole)];
  expect(await wherry(['image', 'build', tree, ...args])).toMatchObject({ status: 0 });
  writeFileSync(String(part), readFileSync(String(whole)).subarray(0, 6 << 20));
  execFileSync('mkfifo', [String(pipe)]);
  // Its own input, which stays open, keeps it from ending.
  running.push(
    spawn('sh', ['-c', 'exec cat "$0" - > "$1"', String(part), String(pipe)], {
      stdio: ['pipe', 'ignore', 'inherit'],
    }),
  );
  return String(pipe);
}

describe('a signal ends', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('an image that is built: %s, status %i, and nothing is left', async (signal, status) => {
    const out = join(place, `out-${signal}`);
    mkdirSync(out);
    const { child, err } = start(
      'image',
      'build',
      'large',
      '--name',
      'example.com/a',
      '-o',
      join(out, 'a.aci'),
    );
    await filled(out);
    child.kill(signal);
    expect(await statusOf(child)).toBe(status);
    expect(err()).toBe(`wherry: stopped by ${signal}\n`);
    expect(readdirSync(out)).toEqual([]);
  });

  it.each([
    ['before anything is unpacked', 'early', ['.']],
    ['after files were unpacked', 'late', ['.', 'root']],
  ])('an image that is extracted, and nothing is left: %s', async (_, name, directories) => {
    const out = join(place, name);
    const image = await endlessImage(name);
    mkdirSync(out);
    const { child } = start('image', 'extract', image, join(out, 'root'));
    for (const directory of directories) await filled(join(out, directory));
    child.kill('SIGTERM');
    expect(await statusOf(child)).toBe(143);
    expect(readdirSync(out)).toEqual([]);
  });

  it.each([
    ['openssl', 'fleet enrol crane-9 --ca-cert ca.pem --ca-key ca.key -o crane-9.enrol'],
    ['gpg', 'trust root sign --gpg 0123456789abcdef'],
  ])('[C298] a command that waits for %s, and no temporary file is left', async (program, line) => {
    const [bin, begun, temporary] = ['bin', 'begun', 'tmp'].map((name) => join(place, `${program}-${name}`));
    for (const directory of [bin, begun, temporary]) mkdirSync(String(directory));
    // It ends when wherry has ended.
    writeFileSync(`${bin}/${program}`, `#!/bin/sh\n: >${begun}/yes\nexec cat\n`, { mode: 0o755 });
    const path = join(place, `${program}-fleet`);
    const fleet = ['--fleet', path];
    const ca = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=ca'];
    const made = ['-keyout', join(place, 'ca.key'), '-out', join(place, 'ca.pem')];
    execFileSync('openssl', ['req', '-x509', ...ca, ...made], { stdio: 'ignore' });
    const root = ['trust', 'root', 'init', '--root-key', join(path, 'keys/deploy.pub.asc')];
    for (const args of [['fleet', 'init', 'harbour'], root])
      expect(await wherry([...fleet, ...args])).toMatchObject({ status: 0 });
    const environment = { PATH: `${bin}:${process.env['PATH']}`, TMPDIR: String(temporary) };
    const { child } = startWith(environment, ...fleet, ...line.split(' '));
    await filled(String(begun));
    const kept = () => readdirSync(String(temporary)).filter((name) => !name.startsWith('tsx-'));
    expect(kept()).toHaveLength(1);
    child.kill('SIGTERM');
    expect(await statusOf(child)).toBe(143);
    expect(kept()).toEqual([]);
  });

  it('a command that waits for a broker which does not answer', async () => {
    const port = await silentPort();
    const fleet = ['--fleet', join(place, 'silent')];
    await wherry([...fleet, 'fleet', 'init', 'silent', '--broker', `mqtt://127.0.0.1:${port}`]);
    const { child } = start(...fleet, 'status');
    await new Promise((resolve) => servers.at(-1)?.once('connection', resolve));
    child.kill('SIGINT');
    expect(await statusOf(child)).toBe(130);
  });
});

describe('a start that fails ends the command', () => {
  it.each([
    ['the broker’s', '--broker-port', '--image-port'],
    ['the image server’s', '--image-port', '--broker-port'],
  ])('when %s port is taken', async (_, taken, free) => {
    const port = await silentPort();
    const { child, err } = start('--fleet', `dev${taken}`, 'dev', taken, String(port), free, '0');
    expect(await statusOf(child)).toBe(64);
    expect(err()).toContain(`cannot listen on 127.0.0.1:${port}: another program listens there`);
  });

  it('when the broker’s port is taken on all addresses', async () => {
    const port = await silentPort('0.0.0.0');
    const { child, err } = start(
      '--fleet',
      'dev-all',
      'dev',
      '--broker-port',
      `${port}`,
      '--image-port',
      '0',
    );
    expect(await statusOf(child)).toBe(64);
    expect(err()).toContain(`cannot listen on 127.0.0.1:${port}: another program listens there`);
  });

  it('if the broker would have the port of the image server', async () => {
    const port = String(await freePort());
    const { child, err } = start('--fleet', 'dev-own', 'dev', '--broker-port', port, '--image-port', port);
    expect(await statusOf(child)).toBe(64);
    expect(err()).toContain('--broker-port and --image-port are the same; choose two ports');
    expect(readdirSync(place)).not.toContain('dev-own');
  });

  it('[C320] if an IPv6 address is not of this machine, and makes no fleet', async () => {
    const ports = ['--broker-port', '0', '--image-port', '0'];
    const { child, err } = start('--fleet', 'dev-six', 'dev', '--host', '2001:db8::7', ...ports);
    expect(await statusOf(child)).toBe(64);
    expect(err()).toContain('cannot listen on [2001:db8::7]:0: ');
    expect(readdirSync(place)).not.toContain('dev-six');
  });

  it.runIf(
    Object.values(networkInterfaces())
      .flat()
      .some((one) => one?.address === '::1'),
  )('or makes a fleet that has an IPv6 address in brackets', async () => {
    const ports = ['--broker-port', '0', '--image-port', '0'];
    const { child, err } = start('--fleet', 'dev-loopback', 'dev', '--host', '::1', ...ports);
    while (!err().includes('made the fleet dev')) await once(child.stderr ?? child, 'data');
    expect(readFileSync(join(place, 'dev-loopback/fleet.toml'), 'utf8')).toContain('"mqtt://[::1]:1883"');
  });

  it('if the address is not of this machine, and reports that', async () => {
    const ports = ['--broker-port', '0', '--image-port', '0'];
    const { child, err } = start('--fleet', 'dev-address', 'dev', '--host', '192.0.2.7', ...ports);
    expect(await statusOf(child)).toBe(64);
    expect(err()).toContain('cannot listen on 192.0.2.7:0: this machine does not have the address');
  });
});

describe('the output of a command', () => {
  /** Runs through a shell, which has redirections. */
  const shell = (script: string): Promise<{ status: unknown; err: string }> => {
    const program = [process.execPath, '--import', join(root, 'node_modules/tsx/dist/esm/index.mjs')];
    const child = spawn('sh', ['-c', script, ...program, join(root, 'src/cli/wherry.ts')], {
      ...{ cwd: place, stdio: ['ignore', 'ignore', 'pipe'] },
    });
    running.push(child);
    let err = '';
    child.stderr.on('data', (text: Buffer) => (err += text.toString()));
    return once(child, 'close').then(([status]) => ({ status: status as unknown, err }));
  };

  it('[C241] all of it reaches a pipe that is read in parts', async () => {
    // Neither a pipe nor a pair of sockets holds this much.
    const names = Array.from({ length: 8 }, (_, index) => `note-${index}`);
    const notes = names.flatMap((name) => ['--annotation', `${name}=${'x'.repeat(100_000)}`]);
    const what = ['--name', 'example.com/noted', '--exec', '/bin/app', ...notes];
    const { child } = start('image', 'build', 'tree', ...what, '-o', 'noted.aci');
    expect(await statusOf(child)).toBe(0);
    const { err } = await shell('"$0" "$@" image cat-manifest noted.aci | wc -c >&2');
    expect(Number(err)).toBeGreaterThan(800_000);
  });

  it('a signal ends a command whose output nobody reads', async () => {
    const program = [process.execPath, '--import', join(root, 'node_modules/tsx/dist/esm/index.mjs')];
    const args = [...program.slice(1), join(root, 'src/cli/wherry.ts'), 'image', 'cat-manifest', 'noted.aci'];
    const child = spawn(process.execPath, args, { cwd: place, stdio: ['ignore', 'pipe', 'inherit'] });
    running.push(child);
    const ended = once(child, 'exit');
    await once(child.stdout, 'readable');
    child.kill('SIGTERM');
    expect(await ended).toEqual([143, null]);
  });

  it('a full disk without room for the result is a failure', async () => {
    expect(await shell('exec "$0" "$@" --help > /dev/full')).toEqual({
      status: 70,
      err: 'wherry: standard output: the disk is full (no-space)\n',
    });
  });

  it('a full disk is also a failure of a command that continues after its output', async () => {
    const dev = '--fleet dev-full dev --broker-port 0 --image-port 0';
    expect(await shell(`exec "$0" "$@" ${dev} > /dev/full`)).toMatchObject({
      status: 70,
      err: expect.stringContaining('wherry: standard output: the disk is full (no-space)\n') as string,
    });
  });

  it('a full disk without room for the progress has no effect', async () => {
    const build = 'image build tree --name example.com/a --exec /no -o progress.aci';
    expect(await shell(`exec "$0" "$@" ${build} 2> /dev/full`)).toMatchObject({ status: 0 });
  });

  it('a command in a deleted directory reports that and ends', async () => {
    const program = `
      import { main } from ${JSON.stringify(join(root, 'src/cli/main.ts'))};
      import { processTerminal } from ${JSON.stringify(join(root, 'src/cli/terminal.ts'))};
      import { mkdirSync, rmdirSync } from 'node:fs';
      mkdirSync('gone');
      process.chdir('gone');
      rmdirSync('../gone');
      process.exit(await main(['fleet', 'init', 'harbour'], {}, processTerminal()));`;
    // The program is loaded first, because its loader needs a directory, too.
    writeFileSync(join(place, 'gone.mts'), program);
    expect(await shell('exec "$0" "$1" "$2" gone.mts')).toEqual({
      status: 64,
      err: 'wherry: the current directory was deleted; change to one that exists (not-found)\n',
    });
  });
});

describe('two runs with one output', () => {
  it('do not mix: the last to end leaves a whole image', async () => {
    const out = join(place, 'both.aci');
    const build = () => wherry(['image', 'build', join(place, 'tree'), '--name', 'example.com/a', '-o', out]);
    const runs = await Promise.all([build(), build(), build()]);
    expect(runs.map(({ status, err }) => ({ status, err }))).toEqual(
      runs.map(() => ({ status: 0, err: '' })),
    );
    expect((await wherry(['image', 'inspect', out])).status).toBe(0);
  });
});

describe('an output that cannot be written is named', () => {
  const build = async (output: string) =>
    await wherry(['image', 'build', join(place, 'tree'), '--name', 'example.com/a', '-o', output]);

  it.each([
    [
      'in a directory that is not there',
      'missing/a.aci',
      /missing\/a\.aci cannot be written: the directory .*missing does not exist/,
    ],
    ['below a file', 'tree/bin/app/a.aci', /tree\/bin\/app\/a\.aci: a part of the path is not a directory/],
    ['with a name that is too long', `${'n'.repeat(256)}.aci`, /n\.aci: the name is too long/],
    ['that is a directory', 'tree', /tree is a directory; name a file/],
    ['behind links in a circle', 'circle/a.aci', /circle\/a\.aci: symbolic links form a loop/],
  ])('%s', async (_, output, message) => {
    const { status, err } = await build(join(place, output));
    expect(err).toMatch(message);
    expect(status).toBe(64);
  });

  it.each([
    ['/proc/a.aci', '/proc/a.aci cannot be written: the directory /proc takes no files (not-found)'],
    ['', 'the output has no name; name a file to write (input-invalid)'],
  ])('with a reason that is true: "%s"', async (output, message) => {
    expect(await build(output)).toMatchObject({ status: 64, err: `wherry: ${message}\n` });
  });

  it('that is a device is not replaced by a file', async () => {
    const { status, err } = await build('/dev/null');
    expect({ status, err }).toEqual({
      status: 64,
      err: 'wherry: /dev/null is not a regular file; name a file to write (input-invalid)\n',
    });
  });

  it('with a name of the maximum length is written', async () => {
    expect((await build(join(place, `${'n'.repeat(251)}.aci`))).err).toBe('');
  });
});

it('[C325] an enrolment that has begun is whole when the command is stopped', async () => {
  const fleet = join(place, 'enrolling');
  const bundle = join(place, 'crane-7.enrol');
  const tree = join(place, 'device');
  mkdirSync(tree);
  expect(await wherry(['--fleet', fleet, 'fleet', 'init', 'harbour'])).toMatchObject({ status: 0 });
  const made = await wherry(['--fleet', fleet, 'fleet', 'enrol', 'crane-7', '-o', bundle]);
  expect(made).toMatchObject({ status: 0 });
  const { child } = start('enrol', bundle, '--root', tree);
  await filled(tree);
  child.kill('SIGTERM');
  expect([143, 0]).toContain(await statusOf(child)); // 0: it was quicker than the signal
  const files = readdirSync(tree, { recursive: true, encoding: 'utf8' });
  expect(files).toContain('etc/wherry/wherry.toml');
  expect(files.filter((file) => file.endsWith('.new'))).toEqual([]);
});
