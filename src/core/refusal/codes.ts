/** What kind of failure a code is; it decides the exit status (sysexits.h where a value fits). */
export type RefusalClass =
  | 'command' // a command that is refused
  | 'image' // an image that is refused
  | 'pod' // a pod that cannot be compiled or kept alive
  | 'device' // what the device lacks
  | 'transport' // what a server or the network did
  | 'answer' // no result was reported in time; it may still come
  | 'usage'; // what the operator typed

/**
 * Every code with its class and its meaning. The key is the code on the wire: it never changes
 * meaning and is never reused; new ones are added.
 */
export const refusalCodes = {
  // --- the signed command (trust/)
  // -------------------------------------------------------------------------
  'envelope-too-large': ['command', 'the message is larger than 128 KiB'],
  'envelope-malformed': ['command', 'the message is not a CBOR envelope in deterministic encoding'],
  unsigned: ['command', 'the envelope carries no signature'],
  'signature-malformed': ['command', 'a signature is not one detached binary OpenPGP signature'],
  'signature-invalid': ['command', 'no signature of a trusted key matches the bytes'],
  'key-unknown': ['command', 'signed by a key that is not trusted for this'],
  'key-unusable': ['command', 'the trusted key is expired, revoked, not yet valid or too weak'],
  'desired-malformed': ['command', 'the signed payload is not a desired state'],
  'wrong-fleet': ['command', 'the desired state or the root is for another fleet'],
  'wrong-device': ['command', 'the desired state is for another device'],
  'version-older': ['command', 'a newer version has been trusted before (rollback attack)'],
  'version-conflict': ['command', 'the same version was trusted before with other content'],
  expired: ['command', 'the desired state or the request is past its expiry (freeze attack)'],
  'threshold-not-met': ['command', 'fewer keys of the role signed than its threshold requires'],
  'root-malformed': [
    'command',
    'the signed payload is not a root of trust, or a certificate in it is another',
  ],
  'root-older': ['command', 'a newer root has been trusted before (rollback attack)'],
  'root-conflict': ['command', 'the same version of the root was trusted before with other content'],
  'root-skipped': ['command', 'the root does not follow the one that is trusted (fast-forward attack)'],
  'root-expired': ['command', 'the root that is trusted is past its expiry (freeze attack)'],
  superseded: ['command', 'a newer desired state replaced it before it ended'],
  'ciphertext-malformed': ['command', 'the encrypted message is not one of the form that is accepted'],
  'decryption-failed': ['command', 'the message is encrypted to another key, or was changed'],
  'secret-mismatch': ['command', 'the value of a secret is not the one that was signed'],
  'wrong-target': ['command', 'the desired state came on the topic of another target than it is for'],
  'passed-over': ['command', 'the command of another target of the device has precedence'],
  'request-malformed': ['command', 'the signed payload is not a request'],
  'request-replayed': ['command', 'the request was answered before, or is for another boot (replay attack)'],
  'log-forbidden': ['command', 'the configuration of the device does not allow the logs to be read'],
  // --- the image (image/aci, wire/http, device/store)
  // --------------------------------------------------------------------
  'image-signature-missing': ['image', 'the image has no detached signature'],
  'image-signature-invalid': ['image', 'the signature does not match the image'],
  'image-key-untrusted': ['image', 'signed by a key that is not trusted for the name of the image'],
  'image-threshold-not-met': ['image', 'fewer keys of the role signed the image than its threshold requires'],
  'image-id-mismatch': ['image', 'the content is not the image that was commanded'],
  'image-name-mismatch': ['image', 'the manifest names another image than commanded'],
  'image-labels-mismatch': ['image', 'a label differs from what was commanded'],
  'image-arch-mismatch': ['image', 'the image is for another operating system or architecture'],
  'image-manifest-missing': ['image', 'the archive has no manifest'],
  'image-manifest-duplicate': ['image', 'the archive has more than one manifest'],
  'image-manifest-invalid': ['image', 'the manifest violates the specification'],
  'image-dependency-missing': ['image', 'the image depends on one that the command does not list'],
  'image-dependency-invalid': [
    'image',
    'the dependencies are circular, ambiguous, too many or of another size',
  ],
  'archive-malformed': ['image', 'the archive or its compression is damaged'],
  'archive-compression-unsupported': ['image', 'the compression is not supported'],
  'archive-path-forbidden': ['image', 'an entry is outside manifest and rootfs/'],
  'archive-link-forbidden': ['image', 'a hard link points outside the root or to nothing'],
  'archive-entry-duplicate': ['image', 'two entries have the same path'],
  'archive-entry-unsupported': ['image', 'an entry is of a type or form that is not accepted'],
  'archive-too-large': ['image', 'the archive exceeds a limit on size, ratio, entries or names'],
  'image-build-failed': ['image', 'the read-only object could not be made'],
  'image-corrupt': ['image', 'a stored object is no longer what was verified'],
  // --- what the network did
  // --------------------------------------------------------------------------------
  'download-failed': ['transport', 'no server could deliver the file'],
  'download-truncated': ['transport', 'the file ended early'],
  'download-too-large': ['transport', 'the file is larger than commanded'],
  'download-too-slow': ['transport', 'the server stayed below the minimum rate'],
  'broker-unreachable': ['transport', 'the MQTT broker could not be reached'],
  'broker-refused': ['transport', 'the MQTT broker refused the connection'],
  'database-unavailable': ['transport', 'the database of rollouts cannot be reached, read or written'],
  // --- the pod
  // ---------------------------------------------------------------------------------------------
  'pod-manifest-invalid': ['pod', 'the pod manifest violates the specification'],
  'pod-image-unlisted': ['pod', 'an app uses an image that the desired state does not list'],
  'pod-app-missing': ['pod', 'neither pod nor image names a program to run, or its image does not have it'],
  'pod-volume-invalid': [
    'pod',
    'a mount has no volume, a volume has no source or hides the program of its app, or a kept volume cannot get its limit',
  ],
  'pod-user-unknown': ['pod', 'the user or group does not exist in the image'],
  'pod-isolator-invalid': ['pod', 'an isolator is malformed, doubled or contradicts another'],
  'pod-limit-unenforceable': ['pod', 'a required limit cannot be enforced on this device'],
  'pod-network-unknown': ['pod', 'the pod names a network that the device does not have'],
  'pod-network-forbidden': ['pod', 'the configuration of the device does not allow the network'],
  'pod-forbidden': ['pod', 'the configuration of the device does not allow a field of the pod'],
  'pod-port-taken': ['pod', 'a host port is taken by another pod or by a process of the host'],
  'pod-network-failed': [
    'pod',
    'a plugin refused to attach the pod to its network, or the network has no address for it',
  ],
  'pod-secret-unknown': ['pod', 'an app uses a secret that the desired state does not list'],
  'secret-missing': ['pod', 'the device has no value of a secret that the version needs'],
  'activation-failed': ['pod', 'a unit of the pod did not start'],
  'probation-failed': ['pod', 'the pod did not stay healthy for its probation'],
  'probe-failed': ['pod', 'an app did not pass its probe within the probation'],
  // --- the device
  // ------------------------------------------------------------------------------------------
  'no-space': ['device', 'too little free space for the download and the image, or for volumes with a limit'],
  'disk-failed': ['device', 'the disk cannot be written: it is read-only or failing'],
  'device-unsupported': ['device', 'the device lacks something that wherry needs'],
  'config-invalid': ['device', 'the configuration file is wrong'],
  'state-unreadable': ['device', 'the state of the device is damaged, or of a later version of wherry'],
  'device-key-missing': ['device', 'there is no key of the device to encrypt to or to decrypt with'],
  internal: ['device', 'internal error in wherry; see the journal and please report it'],
  // --- the operator
  // ----------------------------------------------------------------------------------------
  usage: ['usage', 'the command line is wrong'],
  'input-invalid': ['usage', 'a file or value given is not acceptable'],
  'not-found': ['usage', 'what was named does not exist'],
  'volume-in-use': ['usage', 'a stored pod still has the volume'],
  'not-confirmed': ['answer', 'no device answered in time'],
} as const satisfies Record<string, readonly [RefusalClass, string]>;

export type RefusalCode = keyof typeof refusalCodes;

const exitCodes: Record<RefusalClass, number> = {
  usage: 64, // EX_USAGE
  image: 65, // EX_DATAERR
  pod: 65,
  transport: 69, // EX_UNAVAILABLE
  device: 70, // EX_SOFTWARE
  answer: 75, // EX_TEMPFAIL
  command: 77, // EX_NOPERM
};

/** The exit status of a process that ends because of `code`. */
export function exitCodeOf(code: RefusalCode): number {
  return exitCodes[refusalCodes[code][0]];
}
