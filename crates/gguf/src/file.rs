//! A model in one GGUF file or in several, opened from any of them. Tensors stay in the mapped files.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stoa_graph::{DType, Tensor, TensorType};
use stoa_maps::Map;

use crate::GgufError;
use crate::header::{Header, TensorInfo};
use crate::metadata::Metadata;

const PART: &str = "split.no";
const PARTS: &str = "split.count";
const TENSORS: &str = "split.tensors.count";

/// A GGUF file with all of its parts.
#[derive(Debug)]
pub struct GgufFile {
    version: u32,
    metadata: Metadata,
    maps: Vec<Map>,
    /// By name: the part, and the place in it.
    tensors: BTreeMap<String, (usize, TensorInfo)>,
}

impl GgufFile {
    /// Opens a file. Of a split one any part will do: the others are looked for beside it, under the
    /// names that `llama-gguf-split` gives, `NAME-00001-of-00003.gguf`.
    ///
    /// # Errors
    /// What is wrong with the file or a part of it.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let first = Part::open(path)?;
        let parts = first.parts()?;
        if parts <= 1 {
            return GgufFile::of(vec![first]);
        }
        let names = part_names(path, parts)?;
        let mut given = Some(first);
        let mut found = Vec::new();
        for (number, name) in names.iter().enumerate() {
            let part = match given.take_if(|_| Some(name.as_path()) == file_of(path).as_deref()) {
                Some(part) => part,
                None => Part::open(name).map_err(|error| missing(name, parts, error))?,
            };
            part.must_be(number, parts)?;
            found.push(part);
        }
        let said = found[0].header.metadata.size(TENSORS)?;
        let file = GgufFile::of(found)?;
        match said {
            Some(said) if said != file.tensors.len() => Err(GgufError::Split {
                path: path.to_owned(),
                what: format!(
                    "{TENSORS} is {said}, and the parts have {} tensors; fetch all parts again",
                    file.tensors.len()
                ),
            }),
            _ => Ok(file),
        }
    }

    fn of(parts: Vec<Part>) -> Result<Self, GgufError> {
        let (version, metadata) = (parts[0].header.version, parts[0].header.metadata.clone());
        let mut tensors = BTreeMap::new();
        let mut maps = Vec::new();
        for (number, part) in parts.into_iter().enumerate() {
            for info in part.header.tensors {
                if let Some((other, info)) = tensors.insert(info.name.clone(), (number, info)) {
                    let what = format!(
                        "the tensor `{}` is in parts {} and {} of the model; fetch them again",
                        info.name,
                        other + 1,
                        number + 1
                    );
                    return Err(GgufError::Split { path: part.map.path().to_owned(), what });
                }
            }
            maps.push(part.map);
        }
        Ok(GgufFile { version, metadata, maps, tensors })
    }

    /// Version of the format.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The file, or the first of its parts.
    pub fn path(&self) -> &Path {
        self.metadata.path()
    }

    /// All files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.maps.iter().map(Map::path)
    }

    /// Keys and values, of a split file those of the first part.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Names and types of the tensors, by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorType)> {
        self.tensors.iter().map(|(name, (_, info))| (name.as_str(), &info.ty))
    }

    /// Type of a tensor, if it is there.
    pub fn tensor_type(&self, name: &str) -> Option<&TensorType> {
        self.tensors.get(name).map(|(_, info)| &info.ty)
    }

    /// A tensor, which stays in the file where its type and place allow it.
    ///
    /// # Errors
    /// [`GgufError::MissingTensor`].
    pub fn tensor(&self, name: &str) -> Result<Tensor, GgufError> {
        let (part, info) = self.find(name)?;
        self.read(*part, name, info.ty.clone(), info.range.clone())
    }

    /// Some rows of a tensor: a part of its first dimension.
    ///
    /// # Errors
    /// [`GgufError::MissingTensor`], [`GgufError::Rows`] when there are fewer.
    pub fn rows(&self, name: &str, rows: Range<usize>) -> Result<Tensor, GgufError> {
        let (part, info) = self.find(name)?;
        let all = info.ty.shape.first().copied().unwrap_or(1);
        // A vector's elements are its rows, and no part of a block is one.
        let whole = info.ty.shape.len() > 1 || !info.ty.dtype.is_quantised();
        if rows.start > rows.end || rows.end > all || !whole {
            let (path, tensor) = (self.path().to_owned(), name.to_owned());
            return Err(GgufError::Rows { path, tensor, rows, ty: info.ty.clone() });
        }
        let row = info.range.len() / all;
        let mut ty = info.ty.clone();
        ty.shape[0] = rows.len();
        let range = info.range.start + rows.start * row..info.range.start + rows.end * row;
        self.read(*part, name, ty, range)
    }

    fn find(&self, name: &str) -> Result<&(usize, TensorInfo), GgufError> {
        self.tensors.get(name).ok_or_else(|| {
            let (path, tensor) = (self.path().to_owned(), name.to_owned());
            GgufError::MissingTensor { path, tensor }
        })
    }

    fn read(
        &self,
        part: usize,
        name: &str,
        ty: TensorType,
        range: Range<usize>,
    ) -> Result<Tensor, GgufError> {
        let section = self.maps[part].section(range)?;
        let refused = |source| GgufError::Tensor {
            path: self.maps[part].path().to_owned(),
            tensor: name.to_owned(),
            source: Box::new(source),
        };
        if cfg!(target_endian = "big") && !ty.dtype.is_quantised() {
            let bytes = swapped(ty.dtype, section.as_ref());
            return Tensor::from_bytes(ty, &bytes).map_err(refused);
        }
        Tensor::from_shared(ty, Arc::new(section)).map_err(refused)
    }
}

/// The bytes of each number in reverse.
pub(crate) fn swapped(dtype: DType, bytes: &[u8]) -> Vec<u8> {
    bytes.chunks(dtype.block().bytes).flat_map(|number| number.iter().rev()).copied().collect()
}

struct Part {
    map: Map,
    header: Header,
}

impl Part {
    fn open(path: &Path) -> Result<Self, GgufError> {
        let map = Map::open(path)?;
        let header = Header::read(path, &map)?;
        Ok(Part { map, header })
    }

    fn parts(&self) -> Result<usize, GgufError> {
        Ok(self.header.metadata.size(PARTS)?.unwrap_or(1))
    }

    /// That it is the part that its name says.
    fn must_be(&self, number: usize, parts: usize) -> Result<(), GgufError> {
        let said = (self.header.metadata.size(PART)?, self.parts()?);
        if said == (Some(number), parts) {
            return Ok(());
        }
        let part = said.0.map_or("none".to_owned(), |part| (part + 1).to_string());
        let what = format!(
            "its name is that of part {} of {parts}, and it says part {part} of {}; give the parts the \
             names they were published under",
            number + 1,
            said.1
        );
        Err(GgufError::Split { path: self.map.path().to_owned(), what })
    }
}

/// A path by directory and name, as parts are named.
fn file_of(path: &Path) -> Option<PathBuf> {
    Some(path.parent().unwrap_or(Path::new("")).join(path.file_name()?))
}

/// Names of all parts, from that of one.
fn part_names(path: &Path, parts: usize) -> Result<Vec<PathBuf>, GgufError> {
    let refused = |what: String| GgufError::Split { path: path.to_owned(), what };
    // As many as five digits count.
    if parts > 99_999 {
        return Err(refused(format!("{PARTS} is {parts}, and names count 99999 at most")));
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let end = format!("-of-{parts:05}.gguf");
    let number = |stem: &str| {
        let (prefix, number) = stem.rsplit_once('-')?;
        (number.len() == 5 && number.bytes().all(|b| b.is_ascii_digit())).then(|| prefix.to_owned())
    };
    let Some(prefix) = name.strip_suffix(&end).and_then(number) else {
        return Err(refused(format!(
            "this is one of {parts} parts, and its name does not end in -00001{end} or another \
             number; give the parts the names they were published under"
        )));
    };
    let part = |number| path.with_file_name(format!("{prefix}-{number:05}{end}"));
    Ok((1..=parts).map(part).collect())
}

/// A part that is not there gets the remedy of that.
fn missing(path: &Path, parts: usize, error: GgufError) -> GgufError {
    match error {
        GgufError::Map(error) if error.source.kind() == std::io::ErrorKind::NotFound => {
            let what =
                format!("not found, and the model has {parts} parts; fetch it beside the others");
            GgufError::Split { path: path.to_owned(), what }
        }
        other => other,
    }
}
