/**
 * Making and enlarging the files of volumes with a limit in `wherry-volume.service`, which runs the
 * programs of e2fsprogs. wherryd passes it names and numbers that it has checked.
 */
export { growVolume, makeVolume, type VolumeJob, type VolumeJobPorts } from './volume-unit.ts';
