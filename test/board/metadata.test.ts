import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { RunOptions } from '../../qemu/index.ts';
import type { DeviceReport } from '../../src/wire/report/report.ts';
import { metadataUrl } from '../../src/device/metadata/index.ts';
import { oneBoard } from './board-choice.ts';
import { busybox, busyboxScene } from './busybox-scene.ts';
import type { BuiltImage, Scene } from './scene.ts';

const networks = ['host', 'none', 'bridge'] as const;

/** Real pods query the service from inside, with wget of busybox. */
describe.each(oneBoard)('the metadata of pods on %s', (name) => {
  let scene: Scene;
  let image: BuiltImage;
  let report: DeviceReport;
  const urls = new Map<string, string>();

  const pod = (podName: string, network: string, metadata = 'true') => ({
    name: podName,
    image,
    app: { annotations: [{ name: 'wherry/stop-signal', value: 'SIGKILL' }] },
    manifest: {
      annotations: [
        { name: 'wherry/network', value: network },
        { name: 'wherry/metadata', value: metadata },
      ],
    },
  });
  const pidOf = (podName: string): number =>
    report.pods.find((one) => one.name === podName)?.apps[0]?.pid ?? 0;
  const inside = (podName: string, command: string, options?: RunOptions) =>
    scene.board.check(`nsenter -a -r -w -t ${pidOf(podName)} ${busybox} ${command}`, options);
  const ask = (podName: string, path: string, options?: RunOptions) =>
    inside(podName, `wget -qO- ${urls.get(podName)}/acMetadata/v1/${path}`, options);

  beforeAll(async () => {
    ({ scene, image } = await busyboxScene(name, { powerLoss: true }));
    const desired = scene.desired(networks.map((network) => pod(`in-${network}`, network)));
    const answer = await scene.deploy(desired);
    expect(answer, JSON.stringify(answer)).toMatchObject({ outcome: 'committed' });
    report = await scene.report(
      (latest) => latest.currentVersion === desired.version && latest.pods.length === 3,
    );
    for (const network of networks) {
      const variables = await scene.board.check(`tr '\\0' '\\n' </proc/${pidOf(`in-${network}`)}/environ`);
      urls.set(`in-${network}`, /^AC_METADATA_URL=(.*)$/m.exec(variables)?.[1] ?? '');
    }
  });
  afterAll(() => scene.stop());

  it.each(networks)('[A15.4] [C160] is reached from a pod in the network %s', async (network) => {
    const one = `in-${network}`;
    expect(urls.get(one)).toMatch(/^http:\/\/127\.0\.0\.1:18112\/[0-9a-f]{64}$/);
    const uuid = (await ask(one, 'pod/uuid')).trim();
    expect(uuid).toMatch(/^[0-9a-f]{8}-/);
    expect(await ask(one, 'apps/main/image/id')).toBe(image.id);
    expect(JSON.parse(await ask(one, 'apps/main/image/manifest'))).toMatchObject({ acKind: 'ImageManifest' });
    expect(JSON.parse(await ask(one, 'pod/manifest'))).toMatchObject({ acKind: 'PodManifest' });
    const sign = `${urls.get(one)}/acMetadata/v1/pod/hmac`;
    const signature = await inside(one, `wget -qO- --post-data content=hello ${sign}/sign`);
    expect(Buffer.from(signature, 'base64')).toHaveLength(64);
    const form = `content=hello&uuid=${uuid}&signature=${encodeURIComponent(signature)}`;
    await inside(one, `wget -qO- --post-data '${form}' ${sign}/verify`);
  });

  it('[A15.3] [A15.4] [C160] refuses the network of another pod and a wrong token', async () => {
    const address = report.pods.find((one) => one.name === 'in-bridge')?.network?.addresses[0];
    const outside = await scene.board.run(`curl -sS --max-time 60 http://${address}:18112/`);
    expect(outside.status, outside.stderr).toBe(7); // refused
    const wrong = (urls.get('in-host') ?? '').replace(/.$/, (digit) => (digit === '0' ? '1' : '0'));
    const status = `curl -s -o /dev/null -w '%{http_code}' ${wrong}/acMetadata/v1/pod/uuid`;
    expect(await scene.board.check(status)).toBe('401');
  });

  it('[C244] keeps its port in the network of the host from other pods', async () => {
    const podPort = { name: 'http', protocol: 'tcp', port: 80 };
    const thief = pod('thief', 'bridge', 'false');
    const manifest = { ...thief.manifest, ports: [{ name: 'http', hostPort: 18112, podPort }] };
    const set = [...networks.map((network) => pod(`in-${network}`, network)), { ...thief, manifest }];
    expect(await scene.deploy(scene.desired(set))).toMatchObject({
      outcome: 'refused',
      code: 'pod-port-taken',
      message:
        "pod thief: ports/http/hostPort: 18112/tcp is taken by the metadata service of pod in-host in the host's network; choose another port",
    });
  });

  it('[C161] runs unprivileged outside wherryd, and reads only the documents of pods', async () => {
    await ask('in-host', 'pod/uuid');
    const pid = (await scene.board.check('systemctl show -P MainPID wherry-metadata.service')).trim();
    expect(await scene.board.check(`grep -E '^Cap(Bnd|Eff)|^NoNewPrivs' /proc/${pid}/status`)).toBe(
      'CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n',
    );
    const root = `nsenter -m -t ${pid} setpriv --reuid=wherry-metadata --regid=wherry-metadata --clear-groups`;
    expect((await scene.board.run(`${root} ls /var/lib/wherry/pods`)).status).not.toBe(0);
    expect((await scene.board.run(`${root} ls /etc/wherry`)).status).not.toBe(0);
    expect((await scene.board.run(`${root} cat /var/lib/wherry/metadata-key`)).status).not.toBe(0);
  });

  it('[C248] answers 200 requests of a pod that arrive while the service is stopped', async () => {
    await ask('in-bridge', 'pod/uuid');
    const service = (signal: string) =>
      scene.board.check(`systemctl kill -s ${signal} wherry-metadata.service`);
    await service('STOP');
    // One process, because 200 do not fit into the memory of a small board. The fragment only makes
    // 200 URLs; curl does not send it.
    const sent = scene.board.check(
      `nsenter -n -t ${pidOf('in-bridge')} curl -sS --parallel --parallel-immediate --parallel-max 200 --max-time 280 -o /dev/null -w '%{http_code}\\n' -H Metadata-Flavor:AppContainer '${urls.get('in-bridge')}/acMetadata/v1/pod/uuid#[1-200]'`,
      { timeoutMs: 300_000 },
    );
    sent.catch(() => undefined);
    // The kernel lists both ends of a connection in the network of the client.
    await scene.board.waitFor(
      'for pid in $(pgrep -x systemd-socket-); do cat /proc/$pid/net/unix; done | grep -c /run/wherry/metadata.socket',
      ({ stdout }) => Number(stdout) >= 200,
      240_000,
    );
    await service('CONT');
    expect((await sent).trim().split('\n')).toEqual(Array.from({ length: 200 }, () => '200'));
  });

  it.each(['wherry-metadata.service', 'wherry-metadata-proxy@host.service'])(
    '[C247] answers after %s has failed often',
    async (unit) => {
      const dropIn = `/run/systemd/system/${unit.replace('@host', '@')}.d`;
      const reload = `systemctl daemon-reload; systemctl stop ${unit}`;
      await scene.board.check(
        `mkdir -p ${dropIn}; printf '[Service]\\nExecStartPre=false\\n' >${dropIn}/fail.conf; ${reload}`,
      );
      const answer = ask('in-host', 'pod/uuid', { timeoutMs: 400_000 });
      answer.catch(() => undefined);
      await scene.board.waitFor(`systemctl show -P NRestarts ${unit}`, ({ stdout }) => Number(stdout) > 6);
      await scene.board.check(`rm -r ${dropIn}; systemctl daemon-reload`);
      expect(await answer).toMatch(/^[0-9a-f]{8}-/);
    },
  );

  it.each([': >', 'rm', 'rm {}; mkdir'])(
    '[C318] refuses every token without its key, and serves them again with it: %s',
    async (damage) => {
      const place = '/var/lib/wherry/metadata-key';
      const { pathname } = new URL(urls.get('in-host') ?? '');
      const forged = metadataUrl(Buffer.alloc(0), pathname.slice(1, 33));
      const status = (url: string) =>
        scene.board.check(
          `systemctl stop wherry-metadata.service; curl -s -o /dev/null --max-time 60 -w '%{http_code}' -H Metadata-Flavor:AppContainer ${url}/acMetadata/v1/pod/uuid`,
        );
      await scene.board.check(`cp -p ${place} /root/key; ${damage.replace('{}', place)} ${place}`);
      expect(await status(forged)).toBe('401');
      expect(await status(urls.get('in-host') ?? '')).toBe('401');
      await scene.board.check(`rm -rf ${place}; cp -p /root/key ${place}`);
      expect(await status(urls.get('in-host') ?? '')).toBe('200');
    },
  );

  it('[C274] answers running pods again after a removal and a new installation', async () => {
    const both = ['in-host', 'in-bridge'];
    await scene.board.check('dpkg -r wherry');
    for (const one of both) expect(await ask(one, 'pod/uuid').catch(() => 'none')).toBe('none');
    await scene.reinstall();
    for (const one of both) {
      await vi.waitFor(() => ask(one, 'pod/uuid'), { timeout: 60_000, interval: 500 });
    }
  });

  it('[A15.5] [C160] answers after a power cut without wherryd, and old signatures stay valid', async () => {
    const sign = `${urls.get('in-bridge')}/acMetadata/v1/pod/hmac/sign`;
    const before = await inside('in-bridge', `wget -qO- --post-data content=kept ${sign}`);
    await scene.board.check('systemctl disable wherryd; sync');
    await scene.board.powerCut();
    await scene.board.bootAgain({ network: false });
    // The test lists files, because a board takes commands before its units have started.
    const list = 'cd /etc/systemd/system && ls -d wherry-pod-*bridge*-main.service';
    const unit = (await scene.board.check(list)).trim();
    const ask = `nsenter -a -r -w -t "$(systemctl show -P MainPID '${unit}')" ${busybox} wget -qO- --post-data content=kept ${sign}`;
    const { stdout } = await scene.board.waitFor(ask, ({ status }) => status === 0);
    expect(stdout).toBe(before);
    expect((await scene.board.run('systemctl is-active wherryd')).stdout).toContain('inactive');
    await scene.board.restoreNetwork();
    await scene.board.check('systemctl enable --now wherryd');
  });

  it('[C160] leaves no socket, document or network name when the pods are removed', async () => {
    const answer = await scene.deploy(scene.desired([pod('last', 'none', 'false')]));
    expect(answer, JSON.stringify(answer)).toMatchObject({ outcome: 'committed' });
    await scene.deploy(scene.desired([pod('last', 'host', 'false')]));
    await scene.board.check('systemctl kill -s USR2 wherryd');
    await scene.board.waitFor(
      'ls -A /var/lib/wherry/metadata; ls -A /run/netns',
      ({ stdout }) => stdout === '',
    );
    expect(await scene.board.check(`ls /etc/systemd/system | grep metadata || true`)).toBe('');
    await scene.board.waitFor(
      `systemctl list-units --plain --no-legend 'wherry-metadata-*'`,
      ({ stdout }) => stdout === '',
    );
  });
});
