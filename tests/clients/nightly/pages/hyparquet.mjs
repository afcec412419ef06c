// hyparquet: HEAD for the size, the footer, and then the pages of some columns and rows.
import { asyncBufferFromUrl, parquetMetadataAsync, parquetReadObjects } from "hyparquet";

export default async (url, rowStart, rowEnd) => {
  const file = await asyncBufferFromUrl({ url });
  const metadata = await parquetMetadataAsync(file);
  const rows = await parquetReadObjects({ file, metadata, columns: ["id", "name"], rowStart, rowEnd });
  return { rows: Number(metadata.num_rows), read: rows.map(({ id, name }) => [Number(id), name]) };
};
