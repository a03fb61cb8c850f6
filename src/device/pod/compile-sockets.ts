import type { App } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import type { CompiledPod } from './compiled-pod.ts';
import type { NetworkedPod } from './compile-network.ts';
import type { PodSchedule } from './schedule.ts';
import { socketUnit } from './socket-units.ts';

/** Sockets that systemd opens for an app: its socket-activated ports. */
export interface AppSockets {
  /** The name of its port for each descriptor, in their order. */
  readonly names: readonly string[];
  readonly unit: CompiledPod['units'][number];
}

/** Each socket is a descriptor. */
const maxSockets = 64;

/**
 * Compiles the sockets of an app; undefined when it has none.
 * @param service the unit of the app
 * @throws Refusal pod-manifest-invalid
 */
export function compileSockets(
  name: string,
  app: App,
  service: string,
  { input, places, network }: NetworkedPod,
  schedule?: PodSchedule,
): AppSockets | undefined {
  const ports = app.ports.filter(({ socketActivated }) => socketActivated);
  const [first] = ports;
  if (first === undefined) return undefined;
  const refuse = (port: string, why: string) =>
    new Refusal('pod-manifest-invalid', `app ${name}: ports/${port}/socketActivated: ${why}`);
  if (input.manifest.apps.length > 1) {
    throw refuse(
      first.name,
      'takes a pod of one app: LISTEN_PID is the process ID in the pod, which only the first app knows beforehand',
    );
  }
  if (schedule !== undefined)
    throw refuse(first.name, 'is for an app that keeps running, and the pod is scheduled');
  const sockets = ports.flatMap(({ name: port, protocol, port: number, count }) => {
    if (protocol !== 'tcp' && protocol !== 'udp') {
      throw refuse(port, `takes the protocol "tcp" or "udp", found ${JSON.stringify(protocol)}`);
    }
    if (count > maxSockets) throw refuse(port, `at most ${maxSockets} sockets are possible, found ${count}`);
    return Array.from({ length: count }, (_, index) => ({ name: port, protocol, port: number + index }));
  });
  if (sockets.length > maxSockets) {
    throw refuse(first.name, `at most ${maxSockets} sockets are possible, found ${sockets.length}`);
  }
  for (const [index, { name: port, protocol, port: number }] of sockets.entries()) {
    const other = sockets.slice(0, index).find((one) => one.protocol === protocol && one.port === number);
    if (other !== undefined)
      throw refuse(port, `${number}/${protocol} is opened for ports/${other.name}, too`);
  }
  const of = (wanted: string) => sockets.filter(({ protocol }) => protocol === wanted);
  const addresses = (wanted: string) => of(wanted).map(({ port }) => String(port));
  return {
    names: [...of('tcp'), ...of('udp')].map(({ name: port }) => port),
    unit: {
      name: places.socketUnit(service),
      text: socketUnit({
        description: `Sockets of app ${name} of pod ${input.name}`,
        streams: addresses('tcp'),
        datagrams: addresses('udp'),
        service,
        ...(network.kind === 'attached'
          ? { attached: { netns: places.netns, networkUnit: places.networkUnit } }
          : {}),
      }),
    },
  };
}

/** Whether one of these apps has a socket-activated port. */
export function hasSockets(apps: readonly App[]): boolean {
  return apps.some(({ ports }) => ports.some(({ socketActivated }) => socketActivated));
}
