/** Where things are on a device (docs/architecture.md, "On disk"). */
export const places = {
  config: '/etc/wherry/wherry.toml',
  /** Credentials for web servers and proxies; systemd passes them to the pull unit. */
  credentials: '/etc/wherry/credentials.toml',
  trust: '/etc/wherry/trust',
  /** Keys that come with the device's software. */
  systemTrust: '/usr/lib/wherry/trust',
  state: '/var/lib/wherry',
  images: '/var/lib/wherry/images',
  partial: '/var/lib/wherry/partial',
  pods: '/var/lib/wherry/pods',
  /** Values of secrets, sealed for this device by systemd-creds. */
  secrets: '/var/lib/wherry/secrets',
  /** The key that commands are encrypted to; systemd passes it to the examining unit. */
  deviceKey: '/var/lib/wherry/device-key.cred',
  /** Its public half, and how the private one is sealed. */
  devicePublicKey: '/var/lib/wherry/device-key.asc',
  /** Volumes that outlive their pods. */
  volumes: '/var/lib/wherry/volumes',
  /** Documents of the metadata service, one for each pod that uses it. */
  metadata: '/var/lib/wherry/metadata',
  /** The key of that service. It signs for pods, and is replaced only when it is lost. */
  metadataKey: '/var/lib/wherry/metadata-key',
  run: '/run/wherry',
  /** The time to which a clock that was behind it was set in this boot. */
  clockFloor: '/run/wherry/clock-floor',
  /** What wherryd writes for the local API: its last report, and settings. */
  record: '/run/wherry/record.json',
  /** Events that no broker has acknowledged. */
  unsent: '/run/wherry/unsent.json',
  /** The local API. systemd listens there, for wherry-api.service. */
  apiSocket: '/run/wherry/api.sock',
  /** A directory for each program that the local API has run in an app. */
  exec: '/run/wherry/exec',
  units: '/etc/systemd/system',
  /** What systemd keeps about units until the next boot. */
  unitStates: '/run/systemd/units',
  crun: '/usr/bin/crun',
  /** Networks of the operator: configuration lists of CNI. */
  networks: '/etc/wherry/networks',
  /** The program of a pod's network unit; each pod has a copy. */
  attachScript: '/usr/lib/wherry/attach-network',
} as const;

export type Places = { readonly [Place in keyof typeof places]: string };

/** The unprivileged user of the pull unit (sysusers.d/wherry.conf). */
export const pullUser = 'wherry-pull';
