"""Answers about items and masks, as the OpenAPI document describes them. `exports.views` makes them."""

from pydantic import BaseModel, Field

from db.states import ItemReason, ItemState, WarningCode


class ItemError(BaseModel):
    reason: str = Field(examples=[ItemReason.OBJECT_NOT_FOUND])
    detail: str | None
    retryable: bool


class ItemWarning(BaseModel):
    """A way in which a result differs from the request."""

    code: WarningCode
    detail: str
    prompt_id: str | None


class ReusedFrom(BaseModel):
    """The item that was computed. It may be deleted since."""

    job_id: str = Field(examples=["job_0198a3c2f0b47d21a5e94c0b6f3d8e17"])
    item_id: str


class Georeference(BaseModel):
    """Where on the ground the pixels of an image are."""

    crs: str = Field(description="As `EPSG:32633`, or WKT 2 where EPSG does not have it", examples=["EPSG:32633"])
    transform: tuple[float, float, float, float, float, float] = Field(
        description="a, b, c, d, e, f: a point x, y of the upright image, in pixels, is at a·x + b·y + c (east) and "
        "d·x + e·y + f (north)"
    )


class Item(BaseModel):
    """One image of a job; its id is its index."""

    id: str
    custom_id: str
    index: int
    image: str = Field(description="As submitted; an https image without its query, which may be a secret")
    state: ItemState
    attempt: int
    error: ItemError | None
    size: tuple[int, int] | None = Field(description="[height, width] of the upright image")
    orientation: int | None = Field(description="The EXIF orientation found, before it was applied")
    mask_count: int | None
    model: str | None
    model_revision: str | None
    precision: str | None
    timings_ms: dict[str, float] | None
    frames: int | None = Field(description="Images in the file; the first was taken")
    georeference: Georeference | None = Field(description="Where on the ground the image is, if its file says so")
    warnings: list[ItemWarning]
    reused_from: ReusedFrom | None = Field(description="The earlier item whose result this is; of jobs with `reuse`")


class RLEBody(BaseModel):
    size: tuple[int, int] = Field(description="[height, width]")
    counts: str = Field(description="COCO's compressed run lengths")


class MaskBody(BaseModel):
    """One mask; coordinates are xy pixels of the upright image."""

    id: int
    prompt_id: str | None
    segmentation: RLEBody
    bbox: tuple[int, int, int, int] = Field(description="x, y, width, height: pycocotools' toBbox")
    area: int
    predicted_iou: float
    stability_score: float
    point_coords: list[tuple[float, float]] | None
    crop_box: tuple[int, int, int, int] = Field(description="x, y, width, height")
    phrase: str | None = Field(description="Of a text job: the phrase that the mask matches")
    score: float | None = Field(description="Of a text job: how well it matches, from 0 to 1")


class ItemPage(BaseModel):
    items: list[Item]
    next_page_token: str | None = None


class MaskPage(BaseModel):
    masks: list[MaskBody]
    next_page_token: str | None = None
