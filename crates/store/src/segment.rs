//! Segments of the raw trace: sealed Parquet files (zstd) that other tools can open.
//!
//! One row is one [`Event`]. Paths are in the escaped form of [`BytePath`], so that a tool which knows nothing
//! of this program can read them as text; arguments are a JSON array of such texts. Encodings are chosen per
//! column: counters as differences, words and paths by dictionary.
//!
//! Format: Apache Parquet 2, <https://parquet.apache.org/docs/file-format/>.

use std::sync::Arc;

use evidence::{BytePath, Digest, Event, EventKind};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_typed_column_reader};
use parquet::data_type::{
    ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType, Int32Type, Int64Type,
};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

use crate::error::StoreError;

/// The most rows a segment holds.
pub const SEGMENT_ROWS_MAX: usize = 1 << 16;

const SCHEMA: &str = "message events {
    required int64 sequence;
    required int64 at_ns;
    required int32 process;
    optional int32 other;
    required binary kind (STRING);
    optional binary path (STRING);
    optional binary target (STRING);
    optional fixed_len_byte_array(32) digest;
    optional int64 size;
    optional binary format (STRING);
    required int32 errno;
    optional int32 status;
    optional binary arguments (JSON);
    optional binary environment (JSON);
    optional int64 input;
    optional int64 output;
    optional binary detail (STRING);
}";

/// Collects events and seals them.
#[derive(Default)]
pub struct SegmentWriter {
    events: Vec<Event>,
}

impl SegmentWriter {
    /// Makes an empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event; the caller seals at [`SEGMENT_ROWS_MAX`].
    pub fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Returns the number of events waiting.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Tells whether none waits.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Seals the waiting events into the bytes of one Parquet file; the writer is empty afterwards.
    pub fn finish(&mut self) -> Result<Vec<u8>, StoreError> {
        let events = std::mem::take(&mut self.events);
        if events.len() > SEGMENT_ROWS_MAX {
            return Err(StoreError::Segment(format!("{} events in one segment", events.len())));
        }
        encode(&events)
    }
}

fn properties() -> Result<WriterProperties, StoreError> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(6).map_err(malformed)?))
        .set_created_by("countersign".into())
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true);
    for counter in ["sequence", "at_ns"] {
        properties = properties
            .set_column_dictionary_enabled(ColumnPath::from(counter), false)
            .set_column_encoding(ColumnPath::from(counter), Encoding::DELTA_BINARY_PACKED);
    }
    Ok(properties.build())
}

fn encode(events: &[Event]) -> Result<Vec<u8>, StoreError> {
    let schema = Arc::new(parse_message_type(SCHEMA).map_err(malformed)?);
    let mut writer =
        SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties()?)).map_err(malformed)?;
    let mut group = writer.next_row_group().map_err(malformed)?;
    let text = |path: &BytePath| ByteArray::from(path.to_string().into_bytes());
    column::<Int64Type, _>(&mut group, events, true, |event| Ok(Some(whole(event.sequence)?)))?;
    column::<Int64Type, _>(&mut group, events, true, |event| Ok(Some(whole(event.at_ns)?)))?;
    column::<Int32Type, _>(&mut group, events, true, |event| Ok(Some(small(event.process)?)))?;
    column::<Int32Type, _>(&mut group, events, false, |event| event.other.map(small).transpose())?;
    column::<ByteArrayType, _>(&mut group, events, true, |event| {
        Ok(Some(ByteArray::from(event.kind.word())))
    })?;
    column::<ByteArrayType, _>(&mut group, events, false, |event| Ok(event.path.as_ref().map(text)))?;
    column::<ByteArrayType, _>(&mut group, events, false, |event| Ok(event.target.as_ref().map(text)))?;
    column::<FixedLenByteArrayType, _>(&mut group, events, false, |event| {
        Ok(event.digest.map(|digest| FixedLenByteArray::from(digest.as_bytes().to_vec())))
    })?;
    column::<Int64Type, _>(&mut group, events, false, |event| event.size.map(whole).transpose())?;
    column::<ByteArrayType, _>(&mut group, events, false, |event| Ok(event.format.as_deref().map(words)))?;
    column::<Int32Type, _>(&mut group, events, true, |event| Ok(Some(i32::from(event.errno))))?;
    column::<Int32Type, _>(&mut group, events, false, |event| Ok(event.status))?;
    column::<ByteArrayType, _>(&mut group, events, false, |event| list(&event.arguments))?;
    column::<ByteArrayType, _>(&mut group, events, false, |event| list(&event.environment))?;
    column::<Int64Type, _>(&mut group, events, false, |event| event.input.map(whole).transpose())?;
    column::<Int64Type, _>(&mut group, events, false, |event| event.output.map(whole).transpose())?;
    column::<ByteArrayType, _>(&mut group, events, false, |event| Ok(event.detail.as_deref().map(words)))?;
    group.close().map_err(malformed)?;
    writer.into_inner().map_err(malformed)
}

fn column<T: DataType, F>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    events: &[Event],
    required: bool,
    value: F,
) -> Result<(), StoreError>
where
    F: Fn(&Event) -> Result<Option<T::T>, StoreError>,
{
    let mut writer = group
        .next_column()
        .map_err(malformed)?
        .ok_or_else(|| StoreError::Segment("the schema has fewer columns than an event".into()))?;
    let mut values = Vec::with_capacity(events.len());
    let mut present = Vec::with_capacity(events.len());
    for event in events {
        let value = value(event)?;
        present.push(i16::from(value.is_some()));
        values.extend(value);
    }
    let levels = (!required).then_some(present.as_slice());
    writer.typed::<T>().write_batch(&values, levels, None).map_err(malformed)?;
    writer.close().map_err(malformed)
}

/// Reads the events of a segment. The bytes are those of a digest that the caller trusts.
pub fn read_segment(bytes: &[u8]) -> Result<Vec<Event>, StoreError> {
    let reader = SerializedFileReader::new(bytes::Bytes::copy_from_slice(bytes)).map_err(malformed)?;
    let mut events = Vec::new();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(malformed)?;
        decode(group.as_ref(), &mut events)?;
    }
    Ok(events)
}

fn decode(group: &dyn RowGroupReader, events: &mut Vec<Event>) -> Result<(), StoreError> {
    let rows = usize::try_from(group.metadata().num_rows()).map_err(malformed)?;
    if rows > SEGMENT_ROWS_MAX || group.num_columns() != 17 {
        return Err(StoreError::Segment(format!("{rows} rows in {} columns", group.num_columns())));
    }
    let mut columns = Columns { group, rows, next: 0 };
    let sequence = columns.read::<Int64Type>()?;
    let at_ns = columns.read::<Int64Type>()?;
    let process = columns.read::<Int32Type>()?;
    let mut other = columns.read::<Int32Type>()?;
    let kind = columns.read::<ByteArrayType>()?;
    let mut path = columns.read::<ByteArrayType>()?;
    let mut target = columns.read::<ByteArrayType>()?;
    let mut digest = columns.read::<FixedLenByteArrayType>()?;
    let mut size = columns.read::<Int64Type>()?;
    let mut format = columns.read::<ByteArrayType>()?;
    let errno = columns.read::<Int32Type>()?;
    let mut status = columns.read::<Int32Type>()?;
    let mut arguments = columns.read::<ByteArrayType>()?;
    let mut environment = columns.read::<ByteArrayType>()?;
    let mut input = columns.read::<Int64Type>()?;
    let mut output = columns.read::<Int64Type>()?;
    let mut detail = columns.read::<ByteArrayType>()?;
    for row in 0..rows {
        let kind = required(kind[row].as_ref())?;
        let kind = std::str::from_utf8(kind.data())
            .ok()
            .and_then(EventKind::from_word)
            .ok_or_else(|| StoreError::Segment("unknown kind of event".into()))?;
        events.push(Event {
            sequence: natural(*required(sequence[row].as_ref())?)?,
            at_ns: natural(*required(at_ns[row].as_ref())?)?,
            process: u32::try_from(*required(process[row].as_ref())?).map_err(malformed)?,
            other: other[row].take().map(u32::try_from).transpose().map_err(malformed)?,
            kind,
            path: path[row].take().map(|text| unescape(&text)).transpose()?,
            target: target[row].take().map(|text| unescape(&text)).transpose()?,
            digest: digest[row]
                .take()
                .map(|raw| raw.data().try_into().map(Digest::from_bytes))
                .transpose()
                .map_err(malformed)?,
            size: size[row].take().map(natural).transpose()?,
            format: format[row].take().map(text_of).transpose()?,
            errno: u16::try_from(*required(errno[row].as_ref())?).map_err(malformed)?,
            status: status[row].take(),
            arguments: unlist(arguments[row].take())?,
            environment: unlist(environment[row].take())?,
            input: input[row].take().map(natural).transpose()?,
            output: output[row].take().map(natural).transpose()?,
            detail: detail[row].take().map(text_of).transpose()?,
        });
    }
    Ok(())
}

struct Columns<'a> {
    group: &'a dyn RowGroupReader,
    rows: usize,
    next: usize,
}

impl Columns<'_> {
    fn read<T: DataType>(&mut self) -> Result<Vec<Option<T::T>>, StoreError> {
        let descriptor = self.group.metadata().column(self.next).column_descr_ptr();
        if descriptor.physical_type() != T::get_physical_type() || descriptor.max_rep_level() != 0 {
            return Err(StoreError::Segment(format!("column `{}` has another type", descriptor.name())));
        }
        let optional = descriptor.max_def_level() == 1;
        let reader: ColumnReader = self.group.get_column_reader(self.next).map_err(malformed)?;
        self.next += 1;
        let mut reader: ColumnReaderImpl<T> = get_typed_column_reader(reader);
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        let mut rows = 0;
        while rows < self.rows {
            let levels = optional.then_some(&mut levels);
            let (read, _, _) =
                reader.read_records(self.rows - rows, levels, None, &mut values).map_err(malformed)?;
            if read == 0 {
                return Err(StoreError::Segment("a column ends early".into()));
            }
            rows += read;
        }
        if !optional {
            return Ok(values.into_iter().map(Some).collect());
        }
        let mut values = values.into_iter();
        Ok(levels.into_iter().map(|level| if level == 1 { values.next() } else { None }).collect())
    }
}

/// A list of texts; none is not there at all.
fn list(texts: &[BytePath]) -> Result<Option<ByteArray>, StoreError> {
    if texts.is_empty() {
        return Ok(None);
    }
    serde_json::to_vec(texts).map(|json| Some(ByteArray::from(json))).map_err(malformed)
}

fn unlist(json: Option<ByteArray>) -> Result<Vec<BytePath>, StoreError> {
    json.map_or(Ok(Vec::new()), |json| serde_json::from_slice(json.data()).map_err(malformed))
}

fn words(text: &str) -> ByteArray {
    ByteArray::from(text.as_bytes().to_vec())
}

fn text_of(text: ByteArray) -> Result<String, StoreError> {
    String::from_utf8(text.data().to_vec()).map_err(malformed)
}

fn unescape(text: &ByteArray) -> Result<BytePath, StoreError> {
    std::str::from_utf8(text.data())
        .ok()
        .and_then(BytePath::from_escaped)
        .ok_or_else(|| StoreError::Segment("a path is not in escaped form".into()))
}

fn required<T>(value: Option<&T>) -> Result<&T, StoreError> {
    value.ok_or_else(|| StoreError::Segment("a required value is absent".into()))
}

fn whole(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(malformed)
}

fn natural(value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(malformed)
}

fn small(value: u32) -> Result<i32, StoreError> {
    i32::try_from(value).map_err(malformed)
}

fn malformed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Segment(error.to_string())
}
