import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { boardsFor } from './board-choice.ts';
import { Scene } from './scene.ts';

/**
 * How often the test cuts the power at a random moment of a deployment. Each cut costs a boot of up
 * to a minute, so ten on each board are a separate run (`npm run test:power`).
 */
const cuts = Number(process.env['WHERRY_POWER_CUTS'] ?? 0);

describe.each(boardsFor('power-loss'))('when the power of %s is cut', (boardName) => {
  let scene: Scene;
  let number = 0;

  /** A web server in a busybox image that serves its own number; each number is another image. */
  const numbered = async (): Promise<{ text: string; image: Awaited<ReturnType<Scene['image']>> }> => {
    const text = `page ${++number}\n`;
    const image = await scene.image(
      'busybox',
      ['/usr/bin/busybox', 'httpd', '-f', '-p', '8080', '-h', '/srv'],
      { version: `1.0.${number}`, files: [{ path: '/srv/index.html', content: text }] },
    );
    return { text, image };
  };
  /**
   * What the pods of the board serve. The board itself sends the request, which needs no network.
   */
  const served = async (): Promise<string> => {
    const { stdout } = await scene.board.waitFor(
      'curl -sf http://127.0.0.1:8080/index.html',
      ({ status }) => status === 0,
      180_000,
    );
    return stdout;
  };

  beforeAll(async () => {
    scene = await Scene.start(boardName, { powerLoss: true });
  });
  afterAll(async () => {
    await scene.stop();
  });

  it('while a pod runs, it starts at boot without network and broker, then is reported [C45] [C61]', async () => {
    const { text, image } = await numbered();
    const desired = scene.desired([{ name: 'web', image }]);
    expect(await scene.deploy(desired)).toMatchObject({ outcome: 'committed' });
    await scene.board.powerCut();
    const reports = scene.reports.length;
    await scene.board.bootAgain({ network: false });
    expect(await served()).toBe(text);
    // The start did not need wherryd: no unit names it.
    expect(await scene.board.check('grep -l wherryd /etc/systemd/system/wherry-pod-* || true')).toBe('');
    expect(scene.reports.length).toBe(reports);
    await scene.board.restoreNetwork();
    const report = await scene.report(
      ({ pods }) => scene.reports.length > reports && pods.length === 1 && pods[0]?.healthy === true,
      300_000,
    );
    expect(report).toMatchObject({ currentVersion: desired.version });
  });

  it.runIf(cuts > 0)(
    `at ${cuts} random moments of deployments, the old or the new set runs, verified, and nothing is left over [C45] [C23]`,
    async () => {
      let before = `page ${number}\n`;
      let after = before;
      let version = 0;
      let fullMs = 0;
      for (let cut = 0; cut < cuts; cut++) {
        if (scene.events.some((event) => event.version === version) || version === 0) {
          // The previous deployment has ended in one way or the other. Start the next one.
          before = await served();
          const next = await numbered();
          after = next.text;
          const desired = scene.desired([{ name: 'web', image: next.image }]);
          version = desired.version;
          const startMs = Date.now();
          await scene.send(await scene.sign(desired));
          if (fullMs === 0) {
            // The first one is not interrupted, to measure how long one takes.
            expect(await scene.answer(version)).toMatchObject({ outcome: 'committed' });
            fullMs = Date.now() - startMs;
            cut -= 1;
            continue;
          }
        }
        const moment = Math.random() * 1.1 * fullMs;
        await new Promise((resolve) => setTimeout(resolve, moment));
        await scene.board.powerCut();
        if (scene.board.lacks.disk === undefined)
          expect(await scene.board.fsck(), `file system after cut ${cut}`).toMatchObject({ clean: true });
        await scene.board.bootAgain();
        const where = `cut ${cut} after ${Math.round(moment)} of ${fullMs} ms of version ${version}`;
        expect([before, after], where).toContain(await served());
        // Every object with a mountable name is complete. Unfinished ones have another name.
        const objects = await scene.board.check(
          'ls /var/lib/wherry/images; for f in /var/lib/wherry/images/*.erofs; do dump.erofs -s "$f" >/dev/null || echo broken "$f"; done',
        );
        expect(objects, where).not.toContain('broken');
      }
      if (!scene.events.some((event) => event.version === version)) await scene.answer(version, 300_000);
      const ended = await scene.report(
        ({ deployment }) =>
          deployment?.version === version && ['committed', 'rolled-back'].includes(deployment.phase),
      );
      expect(ended.trustedVersion).toBe(version);
      expect([before, after]).toContain(await served());

      await scene.board.check('wherry gc');
      await scene.board.waitFor('ls /var/lib/wherry/partial', ({ stdout }) => stdout.trim() === '');
      await scene.board.waitFor('ls /var/lib/wherry/images | wc -l', ({ stdout }) => Number(stdout) <= 2);
      await scene.board.waitFor('ls /var/lib/wherry/pods | wc -l', ({ stdout }) => Number(stdout) <= 2);
      const left = await scene.board.check(
        'cd /var/lib/wherry; ls images | wc -l; ls pods | wc -l; ls images | grep -c -v "^sha512-.*erofs$" || true; ls /etc/systemd/system | grep -c "wherry-pod-.*service"',
      );
      const [images = 9, pods = 9, strange = 9, services = 9] = left.trim().split('\n').map(Number);
      expect({ images: images <= 2, pods: pods <= 2, strange, services }).toEqual({
        images: true,
        pods: true,
        strange: 0,
        services: 1,
      });
    },
    3_000_000,
  );
});
