import { createServer } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startBoard, type Board } from '../../qemu/index.ts';
import { everyKind, itOn, itOnce, itOncePerKind } from './board-choice.ts';

describe.each(everyKind)('%s', (name) => {
  let board: Board;
  let startedAt: number;
  beforeAll(async () => {
    startedAt = Date.now();
    board = await startBoard({ board: name, powerLoss: true });
  });
  afterAll(async () => {
    await board.stop();
  });

  it('boots from its snapshot with every unit running, the right time and its declared Node', async () => {
    expect((await board.check('systemctl is-system-running')).trim()).toBe('running');
    expect(Number(await board.check('node -p process.versions.modules'))).toBe(board.nodeAbi);
    // Not the time of the snapshot.
    const milliseconds = Number(await board.check('date +%s%3N'));
    expect(milliseconds).toBeGreaterThanOrEqual(startedAt);
    expect(milliseconds).toBeLessThanOrEqual(Date.now());
  });

  it('answers a command with its status, output and errors, byte for byte', async () => {
    const result = await board.run('cat; echo "to stderr" >&2; exit 42', { stdin: 'a\0b\nä' });
    expect(result).toEqual({ status: 42, stdout: 'a\0b\nä', stderr: 'to stderr\n' });
  });

  itOncePerKind(name)('runs commands at the same time, and ends one that takes too long', async () => {
    const slow = board.run('sleep 600', { timeoutMs: 1000 });
    expect(await board.check('echo quick')).toBe('quick\n');
    expect((await slow).status).toBe(124);
  });

  itOncePerKind(name)('is not held up by a process that a command leaves behind', async () => {
    await board.check('sleep 600 & echo $! >/run/left');
    expect(await board.check('kill "$(cat /run/left)" && echo gone')).toBe('gone\n');
  });

  itOncePerKind(name)('copies files in with their mode and out, byte for byte', async () => {
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7919) & 255));
    await board.copyIn(bytes, '/root/new dir/file', 0o750);
    expect((await board.copyOut('/root/new dir/file')).equals(bytes)).toBe(true);
    expect((await board.check('stat -c %a "/root/new dir/file"')).trim()).toBe('750');
    await expect(board.copyOut('/root/none')).rejects.toThrow('/root/none could not be read');
    await expect(board.copyIn(bytes, '/proc/none')).rejects.toThrow('/proc/none could not be written');
  });

  itOn(name, 'controllers')('has the controllers of cgroup v2 that limit apps', async () => {
    const controllers = (await board.check('cat /sys/fs/cgroup/cgroup.controllers')).trim().split(' ');
    expect(controllers).toEqual(expect.arrayContaining(['cpu', 'io', 'memory', 'pids']));
  });

  it('has what wherry needs: EROFS from a file, overlays, crun', async () => {
    const spec = {
      ociVersion: '1.0.2',
      process: { args: ['/bin/busybox', 'cat', '/hello'], cwd: '/', user: { uid: 0, gid: 0 }, env: [] },
      root: { path: 'merged', readonly: false },
      linux: { namespaces: [{ type: 'pid' }, { type: 'mount' }] },
      mounts: [{ destination: '/proc', type: 'proc', source: 'proc' }],
    };
    await board.copyIn(Buffer.from(JSON.stringify(spec)), '/run/try/config.json');
    const said = await board.check(`set -e
      mkdir -p /var/lib/try/upper /var/lib/try/work
      cd /run/try
      mkdir -p tree/bin tree/dev tree/proc lower merged
      cp /usr/bin/busybox tree/bin/
      echo "from erofs" >tree/hello
      mkfs.erofs --quiet /var/lib/try/image.erofs tree >/dev/null
      mount -t erofs -o ro /var/lib/try/image.erofs lower
      mount -t overlay -o lowerdir=lower,upperdir=/var/lib/try/upper,workdir=/var/lib/try/work overlay merged
      crun --cgroup-manager=disabled run --bundle . try
      umount merged lower`);
    expect(said).toBe('from erofs\n');
  });

  itOncePerKind(name)(
    'reaches servers of the host, is reached by forwarded ports, and neither while the cable is out',
    async () => {
      const server = createServer((_request, response) => response.end('from the host'));
      await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
      try {
        const address = server.address();
        const port = typeof address === 'object' && address !== null ? address.port : 0;
        const ask = `curl -sS -m 20 http://10.0.2.2:${port}/`;
        expect(await board.check(ask)).toBe('from the host');

        const hostPort = await board.forward(8080);
        await board.check('mkdir -p /run/www && echo "from the board" >/run/www/index.html');
        await board.check('busybox httpd -p 8080 -h /run/www');
        const page = await fetch(`http://127.0.0.1:${hostPort}/`);
        expect(await page.text()).toBe('from the board\n');

        await board.cutNetwork();
        await board.waitFor('cat /sys/class/net/eth0/carrier', ({ stdout }) => stdout.trim() === '0');
        expect((await board.run(ask)).status).not.toBe(0);
        await board.restoreNetwork();
        await board.waitFor(ask, ({ stdout }) => stdout === 'from the host');
      } finally {
        server.close();
      }
    },
  );

  itOncePerKind(name, 'disk')('counts what is written to its disk', async () => {
    const before = await board.blockStats();
    await board.check('head -c 1000000 /dev/urandom >/root/million && sync');
    const after = await board.blockStats();
    expect(after.writtenBytes - before.writtenBytes).toBeGreaterThanOrEqual(1_000_000);
    expect(after.flushes).toBeGreaterThan(before.flushes);
  });

  itOncePerKind(name, 'clock')('lets tests set its clock', async () => {
    await board.setClock(new Date('2031-02-03T04:05:06Z'));
    expect(await board.check('date -u +%F')).toBe('2031-02-03\n');
    await board.setClock(new Date());
  });

  itOncePerKind(name)('lets tests wait for a unit and read the journal', async () => {
    await board.check(
      'systemd-run --no-block --unit=try -p Type=oneshot --remain-after-exit echo "words of a unit"',
    );
    await board.waitForUnit('try');
    expect(await board.journal('-u try -o cat')).toContain('words of a unit');
  });

  itOncePerKind(
    name,
    'power-loss',
    'disk',
  )('loses in a power cut what was not flushed, and keeps what was', async () => {
    // Direct writes bypass the page cache: both blocks reach the disk, but only the first is
    // flushed.
    const write = (letter: string, block: number, flags: string): string =>
      `head -c 4096 /dev/zero | tr '\\0' ${letter} | dd of=/root/blocks bs=4096 seek=${block} conv=notrunc${flags} oflag=direct 2>&1`;
    await board.check('head -c 8192 /dev/zero >/root/blocks && sync');
    await board.check(write('F', 0, ',fsync'));
    await board.check(write('U', 1, ''));
    await board.powerCut();
    const check = await board.fsck();
    expect(check, check.report).toMatchObject({ clean: true });

    await board.bootAgain();
    const blocks = await board.copyOut('/root/blocks');
    expect(blocks.subarray(0, 4096).toString()).toBe('F'.repeat(4096));
    expect(blocks.subarray(4096)).toEqual(Buffer.alloc(4096));
  });

  itOnce(name)('ends in a power cut with all its processes, and boots without network', async () => {
    await board.check('sleep 600 & echo $! >/root/left; sync');
    await board.powerCut();
    await expect(board.run('true')).rejects.toThrow(`${name} is switched off`);
    await board.bootAgain({ network: false });
    expect((await board.run('ps -o args= -p "$(cat /root/left)"')).stdout).not.toContain('sleep');
    expect((await board.check('cat /sys/class/net/eth0/carrier || echo down')).trim()).toMatch(/^(0|down)$/);
    await board.restoreNetwork();
    await board.waitFor('cat /sys/class/net/eth0/carrier', ({ stdout }) => stdout.trim() === '1');
  });

  itOnce(name)('reboots in order and keeps its files and its forwarded ports', async () => {
    await board.check('echo kept >/root/before-reboot');
    await board.reboot();
    expect(await board.check('cat /root/before-reboot')).toBe('kept\n');
    expect([...board.forwards.keys()]).toEqual([8080]);
  });
});
