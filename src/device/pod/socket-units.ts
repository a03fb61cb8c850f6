import { unitText, type UnitDescription } from '../systemd/index.ts';

interface SocketInput {
  readonly description: string;
  /** Absent in the network of the host. */
  readonly attached?: { readonly netns: string; readonly networkUnit: string };
}

/** The name of the socket that pods in the host's network share. */
export const hostMetadataSocket = 'wherry-metadata-host.socket';

/**
 * The socket where the apps of a pod reach its metadata, in the pod's network namespace or, without
 * `netns`, in the host's. systemd opens it there; what answers runs in the host's.
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
 * and keeps them while the app is restarted, so a client waits in place of being refused. They go
 * with the app: stopped while nobody needs it, a socket does not start its service again.
 */
export function socketUnit(
  input: SocketInput & {
    /** Of TCP; their descriptors come first. */
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
      // What comes to an app that ends at once starts it again before its restart is due: twice in
      // ten seconds. A socket that reached the other limit would be closed for good.
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
      // The default ones would order it before sockets.target, and the pod's network is after that.
      DefaultDependencies: false,
      Conflicts: ['shutdown.target'],
      Before: ['shutdown.target'],
      StopWhenUnneeded: true,
      // It starts with its pod, however often that is.
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
