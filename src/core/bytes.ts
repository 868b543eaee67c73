// Bytes: how large a buffer is made for so many, and how they are written for people.

/** Size of the device's buffer for so many bytes: plans count by it, so that what they print is what is allocated. */
export const bufferBytes = (bytes: number): number => Math.max(16, Math.ceil(bytes / 16) * 16);

/** Bytes for people. */
export function mib(bytes: number): string {
  return bytes < 2 ** 20
    ? `${(bytes / 1024).toFixed(1)} KiB`
    : bytes < 2 ** 30
      ? `${(bytes / 2 ** 20).toFixed(1)} MiB`
      : `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}
