import { inTurn, numberFrom, type Group } from './bench.ts';
import { deployPod, importIntoPodman, podmanRun, startOf, waitForEnd } from './pods.ts';

/**
 * From the start request until the first output of an app in a bridge network, with a port of the
 * host. Both wherry and podman attach the network at each start and detach it at each end.
 */
export const networkGroup: Group = {
  about: 'start of an app in a bridge network with a port of the host',
  measure: async (bench) => {
    const scene = await bench.scene();
    const { board } = scene;
    bench.say('deploying the pod, importing its image into podman');
    const image = await scene.image('busybox', ['/bin/sh', '-c', `echo up; ${waitForEnd}`], {
      name: 'example.com/network',
      app: { ports: [{ name: 'http', protocol: 'tcp', port: 80 }] },
    });
    const pod = await deployPod(scene, { image, round: 0, hostPort: 8080 });
    const limited = board.lacks.controllers === undefined;
    const podman = podmanRun(await importIntoPodman(scene, image), limited, '--publish=8081:80');
    await numberFrom(board, podman); // The first run makes podman's databases and its network.
    const times = await inTurn(bench, {
      ours: () => numberFrom(board, startOf(pod.unit, pod.network)),
      podman: () => numberFrom(board, podman),
    });
    await board.check('podman image rm bench >/dev/null', { timeoutMs: 120_000 });
    return [
      {
        name: 'start of a pod in a bridge network with a host port, s; peer: podman run -p',
        ours: times.ours,
        peer: times.podman,
        bound: 0.6,
      },
    ];
  },
};
