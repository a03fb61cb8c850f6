import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Run, wherry } from '../../../support/recording-terminal.ts';

let directory: string;
const at = (path: string): string => join(directory, path);
const missing = 'note: its program "/bin/web" is not in the image\n';

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-notes-'));
  mkdirSync(at('root/bin'), { recursive: true });
  writeFileSync(at('root/bin/shop'), '');
  chmodSync(at('root/bin/shop'), 0o755);
});
afterEach(() => rmSync(directory, { recursive: true }));

function build(program: string, ...args: string[]): Promise<Run> {
  const options = ['--name', 'example.com/web', '-o', at('web.aci'), '--exec', program];
  return wherry(['image', 'build', at('root'), ...options, ...args]);
}

describe('an image whose program is not in it', () => {
  it('is built with a note, which validating it repeats', async () => {
    expect(await build('/bin/web')).toMatchObject({ status: 0, err: missing });
    expect((await wherry(['image', 'validate', at('web.aci')])).out).toContain(missing);
  });

  it('is written by patch and by a build file with the same note', async () => {
    expect(await build('/bin/shop')).toMatchObject({ status: 0, err: '' });
    const patch = ['image', 'patch', at('web.aci'), '--exec', '/bin/web', '-o', at('patched.aci')];
    expect(await wherry(patch)).toMatchObject({ status: 0, err: missing });
    const app = 'app = { exec = ["/bin/web"], user = "0", group = "0" }';
    writeFileSync(at('web.toml'), `base = ["web.aci"]\n[manifest]\nname = "example.com/web"\n${app}\n`);
    const byFile = ['image', 'build', at('web.toml'), '-o', at('file.aci')];
    expect(await wherry(byFile)).toMatchObject({ status: 0, err: missing });
  });

  it('has the note among the warnings with --json', async () => {
    const { out } = await build('/bin/web', '--json');
    expect(JSON.parse(out)).toMatchObject({ warnings: ['its program "/bin/web" is not in the image'] });
  });
});

describe('an image whose user is not in it', () => {
  const unknown = 'note: its user "web" is not in the image\'s passwd\n';

  it('is built with a note, which validating it repeats', async () => {
    expect(await build('/bin/shop', '--user', 'web')).toMatchObject({ status: 0, err: unknown });
    expect((await wherry(['image', 'validate', at('web.aci')])).out).toContain(unknown);
  });

  it('has no note if its passwd has the user', async () => {
    mkdirSync(at('root/etc'));
    writeFileSync(at('root/etc/passwd'), 'web:x:33:33::/:/bin/sh\n');
    expect(await build('/bin/shop', '--user', 'web')).toMatchObject({ status: 0, err: '' });
    expect((await wherry(['image', 'validate', at('web.aci')])).out).not.toContain('its user');
  });
});

it('an image that devices refuse for its mount points or annotations has a note [C264]', async () => {
  const mounts = 'note: devices refuse its mount points: /sys/fs/cgroup belongs to the runtime\n';
  const restart = 'note: devices refuse an app of it: annotation wherry/restart: expected "no"';
  const built = await build('/bin/shop', '--mount', 'c,path=/sys/fs/cgroup');
  expect(built).toMatchObject({ status: 0, err: mounts });
  expect((await wherry(['image', 'validate', at('web.aci')])).out).toContain(mounts);
  const patch = ['image', 'patch', at('web.aci'), '--annotation', 'wherry/restart=unless-stopped'];
  const patched = await wherry([...patch, '-o', at('patched.aci')]);
  expect(patched.err).toContain(mounts);
  expect(patched.err).toContain(restart);
});
