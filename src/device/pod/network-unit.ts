import { unitText } from '../systemd/index.ts';
import type { HostFacts } from './compiled-pod.ts';
import { attachScriptPath, type PodPlaces } from './places.ts';

/**
 * The service that attaches a pod to its network before its apps start, and detaches it when none
 * of them needs it. It runs in the mount namespace of the host, where the network namespace must
 * have its name.
 */
export function networkUnit(input: {
  readonly podName: string;
  readonly hostname: string;
  readonly uuid: string;
  readonly network: string;
  readonly bridge: string | undefined;
  readonly places: PodPlaces;
  readonly host: HostFacts;
}): string {
  const { podName, places, host } = input;
  const script = (act: 'up' | 'down') => [
    ...['/bin/sh', places.absolute(attachScriptPath), act, host.directories.run, places.absolute('network')],
    ...[input.uuid, places.netns, input.network, input.hostname, input.bridge ?? '-'],
  ];
  return unitText({
    Unit: {
      Description: `Network ${input.network} of pod ${podName}`,
      StopWhenUnneeded: true,
      // Firewalls that flush all rules at their start are ordered before it.
      After: ['network-pre.target'],
      StartLimitIntervalSec: 0,
    },
    Service: {
      Type: 'oneshot',
      RemainAfterExit: true,
      ExecStart: [script('up')],
      // Also after a failed start.
      ExecStopPost: [script('down')],
      TimeoutStartSec: 120,
      TimeoutStopSec: 60,
      DevicePolicy: 'closed',
      CapabilityBoundingSet: ['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_SYS_ADMIN'],
      StandardInput: 'null',
      SyslogIdentifier: 'wherry-network',
      LogExtraFields: { WHERRY_POD: podName },
    },
  });
}
