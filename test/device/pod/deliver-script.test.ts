import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deliverScript } from '../../../src/device/pod/deliver-script.ts';

const uid = process.getuid?.() ?? 0;
const gid = process.getgid?.() ?? 0;
let directory: string;
let app: ChildProcess | undefined;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'deliver-'));
  await writeFile(at('deliver'), deliverScript);
  await mkdir(at('credentials'));
});
afterEach(async () => {
  app?.kill('SIGKILL');
  app = undefined;
  await rm(directory, { recursive: true });
});

const at = (name: string) => join(directory, name);
const values = async (value: string) => {
  for (const name of ['password', 'token']) await writeFile(at(`credentials/${name}`), `${name} ${value}`);
};

/** Starts an app, which says on standard output when it is ready and what it was told. */
async function start(script: string): Promise<() => string> {
  let said = '';
  app = spawn('/bin/sh', ['-c', `${script}\necho ready\nwhile :; do sleep 0.1; done`]);
  app.stdout?.on('data', (data: Buffer) => (said += data.toString()));
  if (app.stdout !== null) await once(app.stdout, 'data');
  return () => said;
}

/** Delivers both values while systemd says that the unit of the app is in this state. */
async function deliver(state: string): Promise<void> {
  await writeFile(
    at('systemctl'),
    `#!/bin/sh
case $1 in
show) printf 'SubState=%s\\nMainPID=%s\\n' '${state}' '${app?.pid ?? 0}' ;;
*) echo "$*" >>'${at('requests')}' ;;
esac
`,
  );
  await chmod(at('systemctl'), 0o755);
  await promisify(execFile)(
    '/bin/sh',
    [
      ...[at('deliver'), at('secrets/pod/app'), 'app.service', '1'],
      ...[`password:0440:${uid}:${gid}`, `token:0400:${uid}:${gid}`],
    ],
    {
      env: {
        PATH: `${directory}:${process.env['PATH'] ?? ''}`,
        CREDENTIALS_DIRECTORY: at('credentials'),
      },
    },
  );
}

const requests = () => (existsSync(at('requests')) ? readFileSync(at('requests'), 'utf8') : '');
const delivered = (name: string) => readFileSync(at(`secrets/pod/app/${name}`), 'utf8');

describe('a delivery of secrets', () => {
  it('puts values into a new directory, with their modes, before the app starts [C355]', async () => {
    await values('1');
    await deliver('dead');
    expect(delivered('password')).toBe('password 1');
    expect(statSync(at('secrets/pod/app/password')).mode & 0o7777).toBe(0o440);
    expect(statSync(at('secrets/pod/app/token')).mode & 0o7777).toBe(0o400);
    expect(statSync(at('secrets/pod/app')).mode & 0o7777).toBe(0o755);
    expect(statSync(at('secrets')).mode & 0o7777).toBe(0o700);
    expect(requests()).toBe('');
  });

  it('replaces files in the directory that an app has mounted, and signals the app [C353]', async () => {
    await values('1');
    await deliver('dead');
    const before = statSync(at('secrets/pod/app')).ino;
    const said = await start("trap 'echo again' HUP");
    await values('2');
    await deliver('running');
    await expect.poll(said).toBe('ready\nagain\n');
    expect([delivered('password'), delivered('token')]).toEqual(['password 2', 'token 2']);
    expect(statSync(at('secrets/pod/app')).ino).toBe(before);
    expect(await readdir(at('secrets/pod'))).toEqual(['app']);
    expect(requests()).toBe('');
  });

  it('leaves an app alone that ignores the signal', async () => {
    await start("trap '' HUP");
    await values('1');
    await deliver('running');
    expect(requests()).toBe('');
    expect(app?.signalCode).toBeNull();
  });

  it('restarts an app without a handler, which the signal would end', async () => {
    await start(':');
    await values('1');
    await deliver('running');
    expect(requests()).toBe('try-restart --no-block app.service\n');
    expect(app?.signalCode).toBeNull();
  });

  it.each(['start', 'start-post'])('restarts an app in %s, which may have read old values', async (state) => {
    await start("trap 'echo again' HUP");
    await values('1');
    await deliver(state);
    expect(requests()).toBe('try-restart --no-block app.service\n');
  });

  it.each(['auto-restart', 'stop-sigterm', 'failed'])('sends nothing to an app in %s', async (state) => {
    const said = await start("trap 'echo again' HUP");
    await values('1');
    await deliver(state);
    expect(requests()).toBe('');
    expect(said()).toBe('ready\n');
  });

  it('that fails changes nothing, and a further one completes it', async () => {
    await values('1');
    await deliver('dead');
    await writeFile(at('credentials/password'), 'password 2');
    await rm(at('credentials/token'));
    await expect(deliver('running')).rejects.toThrow('token');
    expect(delivered('password')).toBe('password 1');
    await values('2');
    await deliver('dead');
    expect(delivered('password')).toBe('password 2');
  });
});
