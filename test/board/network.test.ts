import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DesiredState } from '../../src/wire/trust/desired-state.ts';
import type { DeviceReport } from '../../src/wire/report/report.ts';
import { everyBoard } from './board-choice.ts';
import { type BuiltImage, Scene } from './scene.ts';

const busybox = '/usr/bin/busybox';

/** Pods in networks: real CNI plugins, rules of the kernel, traffic. */
describe.each(everyBoard)('the network of a pod on %s', (name) => {
  let scene: Scene;
  let image: BuiltImage;
  beforeAll(async () => {
    scene = await Scene.start(name);
    image = await scene.image('busybox', [busybox, 'httpd', '-f', '-p', '80', '-h', '/srv'], {
      app: {
        ports: [
          { name: 'http', protocol: 'tcp', port: 80 },
          { name: 'talk', protocol: 'udp', port: 53 },
        ],
      },
      files: [{ path: '/srv/index.html', content: 'hello from the pod' }],
    });
  });
  afterAll(() => scene.stop());

  const pod = (podName: string, network: string | undefined, manifest: Record<string, unknown> = {}) => ({
    name: podName,
    image,
    manifest: {
      ...(network === undefined ? {} : { annotations: [{ name: 'wherry/network', value: network }] }),
      ...manifest,
    },
  });
  const committed = async (desired: DesiredState): Promise<DeviceReport> => {
    expect(await scene.deploy(desired)).toMatchObject({ outcome: 'committed' });
    return await scene.report((report) => report.currentVersion === desired.version);
  };
  const pidOf = (report: DeviceReport, podName: string): number =>
    report.pods.find((one) => one.name === podName)?.apps[0]?.pid ?? 0;
  /** Runs a command in all namespaces of an app, with the app's own programs. */
  const inside = async (pid: number, command: string): Promise<string> =>
    (await scene.board.check(`nsenter -a -r -w -t ${pid} ${busybox} ${command}`)).trim();

  it('is a bridge behind the host, with names, addresses and a host port', async () => {
    const report = await committed(
      scene.desired([
        pod('web', 'bridge', { ports: [{ name: 'http', hostPort: 8080 }] }),
        pod('other', 'bridge'),
      ]),
    );
    const [web] = report.pods;
    expect(web?.network).toEqual({ name: 'bridge', addresses: [expect.stringMatching(/^10\.173\.0\./)] });
    const get = (url: string) => scene.board.check(`curl -sS --max-time 20 ${url}`);
    expect(await get('http://127.0.0.1:8080/')).toBe('hello from the pod');
    expect(await get('http://10.0.2.15:8080/')).toBe('hello from the pod');
    const pid = pidOf(report, 'other');
    expect(await inside(pid, 'wget -qO- http://web/')).toBe('hello from the pod');
    expect(await inside(pid, 'wget -qO- http://10.0.2.15:8080/')).toBe('hello from the pod');
    expect(await inside(pid, 'ip -o addr show lo')).toContain('127.0.0.1/8');
    expect(await inside(pid, 'cat /etc/resolv.conf')).toBe('nameserver 10.0.2.3');
  });
});
