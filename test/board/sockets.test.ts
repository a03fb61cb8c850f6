import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DesiredState } from '../../src/wire/trust/desired-state.ts';
import type { DeviceReport } from '../../src/wire/report/report.ts';
import { oneBoard } from './board-choice.ts';
import { type BuiltImage, Scene } from './scene.ts';

/** Ports that systemd opens, and a server that takes them over: nginx, as in its own upgrades. */
describe.each(oneBoard)('a socket-activated port on %s', (name) => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await Scene.start(name);
  });
  afterAll(() => scene.stop());

  const pod = (podName: string, image: BuiltImage, network: string, ports: readonly object[] = []) => ({
    name: podName,
    image,
    // A shell as process 1 ignores SIGTERM, so a stop would take ten seconds.
    app: { annotations: [{ name: 'wherry/stop-signal', value: 'SIGKILL' }] },
    manifest: { annotations: [{ name: 'wherry/network', value: network }], ports },
  });
  const committed = async (desired: DesiredState): Promise<DeviceReport> => {
    const answer = await scene.deploy(desired);
    expect(answer, JSON.stringify(answer)).toMatchObject({ outcome: 'committed' });
    return await scene.report((report) => report.currentVersion === desired.version);
  };
  const get = (url: string) => scene.board.check(`curl -sS --max-time 150 ${url}`);

  it('[A3.19] [C206] hands an app the sockets of its ports, which outlive a restart', async () => {
    const nginx = await scene.image('nginx', ['/usr/sbin/nginx', '-e', 'stderr', '-c', '/srv/own.conf'], {
      app: {
        ...{ user: '33', group: '33' },
        ports: [{ name: 'http', protocol: 'tcp', port: 80, socketActivated: true }],
        // Without it nginx would open port 80 itself, which user 33 may not.
        environment: [{ name: 'NGINX', value: '3;' }],
      },
      files: [
        { path: '/srv/www/index.html', content: 'over a socket of systemd' },
        {
          path: '/srv/own.conf',
          content: `daemon off; master_process off; pid /tmp/pid; events {}
            http {
              access_log off; client_body_temp_path /tmp/1; proxy_temp_path /tmp/2;
              fastcgi_temp_path /tmp/3; uwsgi_temp_path /tmp/4; scgi_temp_path /tmp/5;
              server { listen [::]:80 ipv6only=off; root /srv/www; }
            }`,
        },
      ],
    });
    const words = 'echo "$LISTEN_PID/$$ $LISTEN_FDS $LISTEN_FDNAMES" >/run/words; exec sleep 1000000';
    const shell = await scene.image('busybox', ['/bin/sh', '-c', words], {
      name: 'example.com/words',
      app: {
        ports: [
          { name: 'beat', protocol: 'udp', port: 7003, socketActivated: true },
          { name: 'talk', protocol: 'tcp', port: 7001, count: 2, socketActivated: true },
        ],
      },
    });
    const report = await committed(
      scene.desired([
        { ...pod('web', nginx, 'bridge', [{ name: 'http', hostPort: 8088 }]), app: {} },
        pod('words', shell, 'host'),
      ]),
    );
    expect(await get('http://127.0.0.1:8088/')).toBe('over a socket of systemd');
    const app = (await scene.board.check('cd /etc/systemd/system; ls -d wherry-pod-web.*.service')).trim();
    await scene.board.check(`systemctl kill --signal=KILL ${app}`);
    // The request waits for the restart. Without the socket it would be refused.
    expect(await get('http://127.0.0.1:8088/')).toBe('over a socket of systemd');
    const root = `/proc/${report.pods.find(({ name: one }) => one === 'words')?.apps[0]?.pid ?? 0}/root`;
    // A started app has not necessarily written the file yet.
    await expect
      .poll(async () => (await scene.board.run(`cat ${root}/run/words`)).stdout)
      .toBe('1/1 3 talk:talk:beat\n');
    const opened = 'ss -Hlntu | grep -cE ":700[123] "';
    expect(await scene.board.check(opened)).toBe('3\n');
    await committed(scene.desired([pod('words', shell, 'none')]));
    await scene.board.waitFor(opened, ({ stdout }) => stdout === '0\n');
    // The sockets of the two previous pods are gone.
    const left = `systemctl list-units --plain --no-legend 'wherry-socket-*' | wc -l`;
    await expect.poll(() => scene.board.check(left)).toBe('1\n');
  });

  it('[C206] is refused in a pod of several apps, and the running pod stays', async () => {
    const image = await scene.image('busybox', ['/bin/sh', '-c', 'exec sleep 1000000'], {
      name: 'example.com/two',
    });
    const main = { name: 'main', image: { id: image.id, name: image.name } };
    const ports = [{ name: 'http', protocol: 'tcp', port: 7010, socketActivated: true }];
    const side = { exec: ['/bin/sh', '-c', 'exec sleep 1000000'], user: '0', group: '0', ports };
    const running = await committed(scene.desired([pod('two', image, 'host')]));
    const answer = await scene.deploy(
      scene.desired([
        { name: 'two', image, manifest: { apps: [main, { ...main, name: 'side', app: side }] } },
      ]),
    );
    expect(answer).toMatchObject({
      ...{ outcome: 'refused', code: 'pod-manifest-invalid' },
      message: expect.stringContaining(
        'app side: ports/http/socketActivated: takes a pod of one app',
      ) as string,
    });
    await scene.board.check(`kill -0 ${running.pods[0]?.apps[0]?.pid}`);
  });
});
