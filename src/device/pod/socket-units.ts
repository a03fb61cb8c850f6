import { unitText, type UnitDescription } from '../systemd/index.ts';

interface SocketInput {
  readonly description: string;
  /** Absent in the network of the host. */
  readonly attached?: { readonly netns: string; readonly networkUnit: string };
}

/** The name of the socket that pods in the host's network share. */
export const hostMetadataSocket = 'wherry-metadata-host.socket';

/**
 * The socket at which the apps of a pod reach its metadata, in the pod's network namespace or,
 * without `attached`, in the host's. systemd opens it there; the service that answers runs outside
 * the pod's network.
 */
export function metadataSocketUnit(
  input: SocketInput & {
    /** Address and port. */
    readonly listen: string;
    readonly proxy: string;
  },
): string {
  return unitText(unitOf(input, { ListenStream: [input.listen], Service: [input.proxy] }));
}

/**
 * The sockets of an app whose ports are socket-activated. systemd opens them before the app starts
 * and keeps them while the app is restarted, so a client waits instead of being refused. They stop
 * with the app, so that a socket does not start a stopped app again.
 */
export function socketUnit(
  input: SocketInput & {
    /** TCP ports; their descriptors come first. */
    readonly streams: readonly string[];
    readonly datagrams: readonly string[];
    readonly service: string;
  },
): string {
  return unitText(
    unitOf(input, {
      ListenStream: input.streams,
      ListenDatagram: input.datagrams,
      BindIPv6Only: 'both',
      // A connection to an app that ends at once would start it before its restart is due; this
      // allows two such starts in ten seconds. A socket that reaches the trigger limit would fail
      // for good.
      TriggerLimitIntervalSec: 0,
      PollLimitIntervalSec: 10,
      PollLimitBurst: 2,
      Service: [input.service],
    }),
  );
}

function unitOf({ description, attached }: SocketInput, socket: UnitDescription['Socket']): UnitDescription {
  const networks = attached === undefined ? [] : [attached.networkUnit];
  return {
    Unit: {
      Description: description,
      // The default ones would order it before sockets.target, but the pod's network starts after
      // that.
      DefaultDependencies: false,
      Conflicts: ['shutdown.target'],
      Before: ['shutdown.target'],
      StopWhenUnneeded: true,
      // It starts as often as its pod does.
      StartLimitIntervalSec: 0,
      BindsTo: networks,
      After: networks,
    },
    Socket: {
      ...socket,
      ...(attached === undefined ? {} : { NetworkNamespacePath: attached.netns }),
    },
  };
}
