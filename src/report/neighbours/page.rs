//! The nearest images as an HTML page that loads no other file.

use super::super::maps::MAPS;
use super::super::page::{policy, style};
use super::super::thumbnail::{Thumbnail, encode};
use super::{Ranked, Shown, explanation};
use crate::data::decode::Rgb;
use crate::{Error, Result};
use askama::Template;

#[derive(Template)]
#[template(path = "neighbours/page.html")]
struct Page {
    policy: String,
    css: String,
    version: &'static str,
    explanation: String,
    lists: Vec<ListView>,
}

struct ListView {
    heading: String,
    query: ImageView,
    entries: Vec<EntryView>,
}

struct EntryView {
    class: &'static str,
    /// True for the first image that the threshold refuses.
    limit: bool,
    rank: String,
    person: String,
    camera: String,
    distance: String,
    image: ImageView,
}

struct ImageView {
    image: std::result::Result<Thumbnail, String>,
    alt: String,
    /// Maps and their texts for screen readers.
    maps: Vec<(Thumbnail, String)>,
}

/// The page of all lists; `threshold` as in [`super::ranked`].
///
/// # Errors
/// An error of the template or of the JPEG encoder.
pub fn page(lists: &[Ranked], threshold: Option<f64>) -> Result<String> {
    let css = style();
    let page = Page {
        policy: policy(&css, None),
        css,
        version: env!("CARGO_PKG_VERSION"),
        explanation: explanation(lists, threshold),
        lists: lists.iter().map(list).collect::<Result<_>>()?,
    };
    page.render().map_err(|e| Error::Run(format!("the page cannot be rendered: {e}")))
}

fn list(list: &Ranked) -> Result<ListView> {
    let limit = list.accepted();
    let entries = list.entries.iter().enumerate().map(|(place, entry)| {
        let (person, camera) = (entry.person(), entry.camera());
        Ok(EntryView {
            class: match entry.is_match {
                Some(true) => "correct",
                Some(false) => "wrong",
                None => "",
            },
            limit: limit == Some(place),
            rank: entry.rank(),
            distance: entry.distance(),
            image: image(&entry.shown, &format!("rank {}: {person}, {camera}", entry.hit.rank))?,
            person,
            camera,
        })
    });
    Ok(ListView {
        heading: list.heading(),
        query: image(&list.query, &format!("query{}", list.known()))?,
        entries: entries.collect::<Result<_>>()?,
    })
}

fn image(shown: &Shown, alt: &str) -> Result<ImageView> {
    let thumbnail = |picture: &Rgb| {
        encode(picture).map_err(|e| Error::Run(format!("an image cannot be encoded for the page: {e}")))
    };
    let image = match &shown.picture {
        Ok(picture) => Ok(thumbnail(picture)?),
        Err(why) => Err(why.clone()),
    };
    let maps = shown
        .maps
        .iter()
        .zip(MAPS)
        .map(|(map, (name, _))| Ok((thumbnail(map)?, format!("{name} map of {alt}"))));
    Ok(ImageView { image, alt: alt.to_string(), maps: maps.collect::<Result<_>>()? })
}
